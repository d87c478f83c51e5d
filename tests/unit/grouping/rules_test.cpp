#include "grouping/rules.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

using namespace gpcsup;
using namespace gpcsup::grouping;

namespace {

class TestAccounts final : public base::Accounts {
  public:
    std::map<std::string, std::uint32_t, std::less<>> users = {
        {"root", 0}, {"alice", 1000}, {"bob", 1001}, {"www-data", 33}, {"../up", 2000}, {"..", 2001}};
    std::map<std::string, std::uint32_t, std::less<>> groups = {
        {"root", 0}, {"students", 500}, {"www-data", 33}};

    std::optional<std::uint32_t> user_number(std::string_view name) const override { return in(users, name); }
    std::optional<std::uint32_t> group_number(std::string_view name) const override {
        return in(groups, name);
    }
    std::optional<std::string> user_name(std::uint32_t number) const override { return of(users, number); }
    std::optional<std::string> group_name(std::uint32_t number) const override { return of(groups, number); }
    std::vector<std::uint32_t> groups_of(std::string_view) const override { return {}; }

  private:
    using Map = std::map<std::string, std::uint32_t, std::less<>>;
    static std::optional<std::uint32_t> in(const Map& map, std::string_view name) {
        const auto found = map.find(name);
        return found == map.end() ? std::nullopt : std::optional(found->second);
    }
    static std::optional<std::string> of(const Map& map, std::uint32_t number) {
        for (const auto& [name, one] : map) {
            if (one == number) {
                return name;
            }
        }
        return std::nullopt;
    }
};

const TestAccounts accounts;

Subject process(std::uint32_t uid, const std::string& executable = "/usr/bin/make") {
    Subject subject;
    subject.uid = uid;
    subject.gid = 500;
    subject.groups = {500, 24};
    subject.executable = executable;
    subject.name = executable.substr(executable.rfind('/') + 1);
    subject.unit = "ci-1";
    subject.pid = 4711;
    return subject;
}

Rule to(const std::string& hierarchy, const std::string& path) {
    Rule rule;
    rule.place = {{hierarchy, path}};
    return rule;
}

}  // namespace

TEST_CASE("a rule matches when all that it names does") {
    struct Row {
        const char* what;
        void (*change)(Rule& rule);
        bool matches;
    };
    const Row rows[] = {
        {"nothing given", [](Rule&) {}, true},
        {"user by name", [](Rule& r) { r.user = parse_who("alice"); }, true},
        {"user by number", [](Rule& r) { r.user = parse_who("1000"); }, true},
        {"another user", [](Rule& r) { r.user = parse_who("bob"); }, false},
        {"a user nobody knows", [](Rule& r) { r.user = parse_who("nobody-here"); }, false},
        {"group by name", [](Rule& r) { r.group = parse_who("students"); }, true},
        {"a supplementary group", [](Rule& r) { r.group = parse_who("24"); }, true},
        {"another group", [](Rule& r) { r.group = parse_who("www-data"); }, false},
        {"program by path", [](Rule& r) { r.executable = "/usr/bin/make"; }, true},
        {"program by name", [](Rule& r) { r.executable = "make"; }, true},
        {"a program of another directory", [](Rule& r) { r.executable = "/opt/bin/make"; }, false},
        {"a program whose name only begins so", [](Rule& r) { r.executable = "mak"; }, false},
        {"a path through a link",
         [](Rule& r) { r.executable = "/bin/make", r.real_executable = "/usr/bin/make"; }, true},
        {"unit", [](Rule& r) { r.unit = "ci-*"; }, true},
        {"another unit", [](Rule& r) { r.unit = "web*"; }, false},
        {"user and program", [](Rule& r) { r.user = parse_who("alice"), r.executable = "make"; }, true},
        {"user but not program", [](Rule& r) { r.user = parse_who("alice"), r.executable = "gcc"; }, false},
        {"program but not user", [](Rule& r) { r.user = parse_who("bob"), r.executable = "make"; }, false},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        Rule rule = to("tenant", "/a");
        row.change(rule);
        CHECK(matches(rule, process(1000), accounts) == row.matches);
    }
}

TEST_CASE("a program is known by what it was called by, too, as far as the kernel keeps it") {
    Rule rule = to("tenant", "/a");
    Subject script = process(1000, "/usr/bin/dash");
    script.name = "backup";
    rule.executable = "backup";
    CHECK(matches(rule, script, accounts));
    rule.executable = "sixteen-letters-and-more";
    script.name = "sixteen-letters";  // fifteen of them
    CHECK(matches(rule, script, accounts));
    rule.executable = "sixteen-letterX-and-more";
    CHECK_FALSE(matches(rule, script, accounts));
}

TEST_CASE("a user that is in no local file is matched where the unit names it") {
    Rule rule = to("tenant", "/a");
    rule.user = parse_who("ldap-user");
    Subject start;
    start.user = "ldap-user";
    CHECK(matches(rule, start, accounts));
    CHECK_FALSE(matches(rule, process(5000), accounts));
    rule.unit = "*";
    CHECK_FALSE(matches(rule, start, accounts));  // of no unit
}

TEST_CASE("templates") {
    struct Row {
        const char* place;
        const char* path;
    };
    const Row rows[] = {
        {"/", "/"},
        {"/a/", "/a"},
        {"/students/%u", "/students/alice"},
        {"/%U/%g/%G", "/1000/students/500"},
        {"/build/%p-%P", "/build/make-4711"},
        {"/100%%/x", "/100%/x"},
        {"/%u%u", "/alicealice"},
    };
    for (const Row& row : rows) {
        INFO(row.place);
        CHECK(check_place_template(row.place));
        CHECK(expand(row.place, process(1000), accounts) == row.path);
    }
    CHECK(expand("/%u", process(4242), accounts) == "/4242");
}

TEST_CASE("no account and no program chooses a path") {
    CHECK(expand("/students/%u", process(2000), accounts) == "/students/.._up");
    CHECK(expand("/students/%u", process(2001), accounts) == "/students/__");
    CHECK(expand("/b/%p", process(1000, "/tmp/a\nb"), accounts) == "/b/a_b");
    Subject nobody;
    CHECK(expand("/b/%p/c", nobody, accounts) == "/b/_/c");
    CHECK(expand("/b/%u", nobody, accounts) == "/b/_");
}

TEST_CASE("templates that are none are refused with the reason") {
    struct Row {
        const char* place;
        const char* reason;
    };
    const Row rows[] = {
        {"students", "does not begin with '/'"}, {"/a//b", "empty part"},  {"/%x", "no template %x"},
        {"/a%", "stands for nothing"},           {"/../a", "cannot name"},
    };
    for (const Row& row : rows) {
        INFO(row.place);
        const auto checked = check_place_template(row.place);
        REQUIRE_FALSE(checked);
        CHECK(checked.error().message().find(row.reason) != std::string::npos);
    }
}

TEST_CASE("the first rule that matches and names a hierarchy counts there") {
    Forest forest;
    const std::string cpu[] = {"cpuset"};
    const auto tenant = forest.create_hierarchy("tenant", {});
    const auto compute = forest.create_hierarchy("compute", cpu);
    REQUIRE((tenant && compute));
    Rule other = to("tenant", "/bob");
    other.user = parse_who("bob");
    Rule make = to("cpuset", "/batch");  // by its controller
    make.executable = "make";
    Rule alice = to("tenant", "/students/%u");
    alice.user = parse_who("alice");
    Rule everybody;
    everybody.place = {{"tenant", "/rest"}, {"compute", "/rest"}, {"gone", "/x"}};
    std::vector<Rule> rules = {other, make, alice, everybody};

    auto choices = choose(rules, process(1000), accounts, forest);
    REQUIRE(choices[tenant->value]);
    CHECK(choices[tenant->value]->rule == 2);
    CHECK(choices[tenant->value]->path == "/students/alice");
    REQUIRE(choices[compute->value]);
    CHECK(choices[compute->value]->rule == 1);
    CHECK(choices[compute->value]->path == "/batch");
    CHECK_FALSE(choices[0]);

    SECTION("ignore ends the search where nothing was found yet") {
        Rule ignore;
        ignore.action = RuleAction::ignore;
        ignore.user = parse_who("alice");
        rules.insert(rules.begin() + 2, ignore);
        choices = choose(rules, process(1000), accounts, forest);
        CHECK_FALSE(choices[tenant->value]);
        REQUIRE(choices[compute->value]);
        CHECK(choices[compute->value]->path == "/batch");
        CHECK(choose(rules, process(1001), accounts, forest)[tenant->value]->path == "/bob");
    }
    CHECK(choose({}, process(1000), accounts, forest) == RuleChoices{});
}

TEST_CASE("a rule's mark is what it says, not where it stands") {
    std::vector<Rule> rules;
    for (int i = 0; i < 300; ++i) {
        rules.push_back(to("tenant", "/" + std::to_string(i)));
    }
    const auto marks = marks_of(rules);
    std::set<RuleMark> distinct(marks.begin(), marks.end());
    CHECK(distinct.size() == rules.size());
    CHECK_FALSE(distinct.contains(placed_by_nobody));
    CHECK_FALSE(distinct.contains(placed_explicitly));

    std::vector<Rule> fewer = {rules[7], rules[3]};
    fewer[0].location = "elsewhere.toml:1";
    const auto again = marks_of(fewer);
    CHECK(again[0] == marks_of({&rules[7], 1})[0]);
    CHECK(again[1] == marks_of({&rules[3], 1})[0]);
    CHECK(fewer[0].means(rules[7]));
    CHECK_FALSE(fewer[0].means(rules[3]));
}

TEST_CASE("%P is known of a process that exists only") {
    Forest forest;
    REQUIRE(forest.create_hierarchy("tenant", {}));
    CHECK(names_the_process(to("tenant", "/a/%P"), "tenant", forest));
    CHECK_FALSE(names_the_process(to("tenant", "/a/%%P"), "tenant", forest));
    CHECK_FALSE(names_the_process(to("tenant", "/a/%p"), "tenant", forest));
}
