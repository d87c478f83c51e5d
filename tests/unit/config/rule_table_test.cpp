#include "config/rule_table.h"

#include <catch2/catch.hpp>

#include "config/fake_catalogue.h"
#include "config/hierarchy_file.h"

using namespace gpcsup;
using namespace gpcsup::config;

namespace {

const test::FakeCatalogue catalogue;

class FewAccounts final : public base::Accounts {
  public:
    std::optional<std::uint32_t> user_number(std::string_view name) const override {
        return name == "alice" ? std::optional(1000U) : std::nullopt;
    }
    std::optional<std::uint32_t> group_number(std::string_view name) const override {
        return name == "students" ? std::optional(500U) : std::nullopt;
    }
    std::optional<std::string> user_name(std::uint32_t) const override { return std::nullopt; }
    std::optional<std::string> group_name(std::uint32_t) const override { return std::nullopt; }
    std::vector<std::uint32_t> groups_of(std::string_view) const override { return {}; }
};

HierarchyFile read(const std::string& text) {
    static const FewAccounts accounts;
    return read_hierarchies("gpcsup.toml", text, &catalogue, &accounts);
}

}  // namespace

TEST_CASE("rules are read in order, before or after the hierarchies that they name") {
    const HierarchyFile file = read(R"(
[[rule]]
user = "alice"
place = { tenant = "/students/%u", numtasks = "/x" }
[hierarchy.tenant]
controllers = ["numtasks"]
[[rule]]
group = 500
executable = "/usr/bin/make"
unit = "ci-*"
ignore = false
[rule.place]
tenant = "/builds/%p"
[[rule]]
executable = "backup"
ignore = true
)");
    for (const Located& problem : file.problems) {
        FAIL_CHECK(format(problem));
    }
    REQUIRE(file.rules.size() == 3);
    CHECK(file.rules[0].user->name == "alice");
    CHECK(file.rules[0].place.at("tenant") == "/students/%u");
    CHECK(file.rules[0].place.at("numtasks") == "/x");
    CHECK(file.rules[0].location == "gpcsup.toml:2");
    CHECK(file.rules[1].group->number == 500);
    CHECK(file.rules[1].executable == "/usr/bin/make");
    CHECK(file.rules[1].unit == "ci-*");
    CHECK(file.rules[1].action == grouping::RuleAction::place);
    CHECK(file.rules[2].action == grouping::RuleAction::ignore);
}

TEST_CASE("an account that is in no local file is a problem, and its rule stays") {
    const HierarchyFile file = read(R"([hierarchy.tenant]
[[rule]]
user = "ldap-user"
place = { tenant = "/a" }
[[rule]]
group = "nobodies"
place = { tenant = "/b" }
)");
    CHECK(file.rules.size() == 2);
    REQUIRE(file.problems.size() == 2);
    CHECK(
        format(file.problems[0]) ==
        "gpcsup.toml:3:8: rule.user: there is no user \"ldap-user\" in /etc/passwd; rules look nowhere else: "
        "write the number (id -u ldap-user), or only units that name it are matched");
    CHECK(file.problems[1].message.find("no group \"nobodies\" in /etc/group") != std::string::npos);
}

TEST_CASE("a thousand rules are enough") {
    std::string text = "[hierarchy.t]\n";
    for (int i = 0; i <= 1000; ++i) {
        text += "[[rule]]\nplace = { t = \"/a\" }\n";
    }
    const HierarchyFile file = read(text);
    CHECK(file.rules.size() == 1000);
    REQUIRE(file.problems.size() == 1);
    CHECK(file.problems.front().message.find("more than 1000 rules") != std::string::npos);
}
