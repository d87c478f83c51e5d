#include "config/write_tree.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "config/hierarchy_file.h"

using namespace gpcsup;
using namespace gpcsup::config;

namespace {

ValueStyle style_of(std::string_view attribute) {
    return attribute.ends_with("cpus") || attribute.ends_with("colour") ? ValueStyle::quoted
                                                                        : ValueStyle::bare;
}

class Dice {
  public:
    explicit Dice(unsigned seed) : random_(seed) {}
    unsigned below(unsigned end) { return std::uniform_int_distribution<unsigned>(0, end - 1)(random_); }
    bool one_in(unsigned count) { return below(count) == 0; }
    std::string pick(std::vector<std::string> list) {
        return list[below(static_cast<unsigned>(list.size()))];
    }

  private:
    std::mt19937 random_;
};

std::string component(Dice& dice) {
    return dice.pick({"a", "acme", "web.1", "q\"uote", "back\\slash", "gr\u00fcn", "%u", "x-y_z", "[0]", "#",
                      "=", "'"}) +
           (dice.one_in(2) ? std::to_string(dice.below(9)) : "");
}

std::string path(Dice& dice) {
    std::string text;
    for (unsigned left = 1 + dice.below(3); left > 0; --left) {
        text += "/" + component(dice);
    }
    return text;
}

grouping::DeclaredGroup group(Dice& dice) {
    grouping::DeclaredGroup one{dice.one_in(6) ? "/" : path(dice), {}, ""};
    const std::vector<grouping::DeclaredSetting> possible = {
        {"cpuset.cpus", dice.pick({"0", "0-3,8", ""})},
        {"group.auto_remove", "true"},
        {"numtasks.forkrate", "100/1s"},
        {"numtasks.limit",
         dice.pick({"0", "64", "max", "007", "123456789012345678", "99999999999999999999"})},
        {"sample.colour", dice.pick({"red", "true", "12", "say \"x\"\n", "\x7f\x01", "tab\there"})},
    };
    for (const auto& setting : possible) {
        if (dice.one_in(2)) {
            one.settings.push_back(setting);
        }
    }
    return one;
}

grouping::DeclaredTree tree(Dice& dice) {
    grouping::DeclaredTree all;
    for (const char* name : {"compute", "tenant", "x.y", "9"}) {
        if (dice.one_in(3)) {
            continue;
        }
        grouping::DeclaredHierarchy hierarchy{name, {}, {}, ""};
        hierarchy.compat = dice.one_in(3) ? grouping::Compat::year_2006 : grouping::Compat::none;
        if (all.empty()) {
            hierarchy.controllers = {"cpuset", "numtasks", "sample"};
        }
        for (unsigned left = dice.below(6); left > 0; --left) {
            grouping::DeclaredGroup one = group(dice);
            const bool is_new = std::ranges::find(hierarchy.groups, one.path,
                                                  &grouping::DeclaredGroup::path) == hierarchy.groups.end();
            if (!all.empty()) {  // an attribute belongs to the hierarchy of its controller
                std::erase_if(one.settings,
                              [](const auto& setting) { return !setting.name.starts_with("group."); });
            }
            if (is_new && (one.path != "/" || !one.settings.empty())) {
                hierarchy.groups.push_back(std::move(one));
            }
        }
        all.push_back(std::move(hierarchy));
    }
    return all;
}

grouping::Rule rule(Dice& dice, const grouping::DeclaredTree& all) {
    grouping::Rule one;
    if (dice.one_in(2)) {
        one.user = grouping::parse_who(dice.pick({"alice", "1000", "o'hara\"", "0"}));
    }
    if (dice.one_in(2)) {
        one.group = grouping::parse_who(dice.pick({"students", "500"}));
    }
    one.executable = dice.pick({"", "make", "/usr/bin/make", "/opt/my \"tool\""});
    one.unit = dice.pick({"", "ci-*", "w[a-c]?"});
    if (all.empty() || dice.one_in(4)) {
        one.action = grouping::RuleAction::ignore;
    } else {
        for (const auto& hierarchy : all) {
            if (one.place.empty() || dice.one_in(2)) {
                one.place[hierarchy.name] = dice.pick({"/", "/students/%u", "/%g/%p-%P", "/a b/100%%"});
            }
        }
    }
    return one;
}

bool same(const HierarchyFile& file, const grouping::DeclaredTree& all) {
    if (file.hierarchies.size() != all.size()) {
        return false;
    }
    for (const auto& expected : all) {
        const auto found = std::ranges::find(file.hierarchies, expected.name, &HierarchyDeclaration::name);
        if (found == file.hierarchies.end() || found->controllers != expected.controllers ||
            found->compat != expected.compat || found->groups.size() != expected.groups.size()) {
            return false;
        }
        for (const auto& group : expected.groups) {
            const auto read = std::ranges::find(found->groups, group.path, &GroupDeclaration::path);
            if (read == found->groups.end()) {
                return false;
            }
            std::vector<grouping::DeclaredSetting> settings;
            for (const LocatedSetting& setting : read->settings) {
                settings.push_back({setting.attribute, setting.value});
            }
            std::ranges::sort(settings, {}, &grouping::DeclaredSetting::name);
            if (settings != group.settings) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace

TEST_CASE("what is written reads back as the same") {
    for (unsigned seed = 1; seed <= 500; ++seed) {
        Dice dice(seed);
        const grouping::DeclaredTree all = tree(dice);
        std::vector<grouping::Rule> rules;
        for (unsigned left = dice.below(4); left > 0; --left) {
            rules.push_back(rule(dice, all));
        }
        const std::string text = write_tree(all, rules, {}, style_of);
        INFO("seed " << seed << ":\n" << text);
        const HierarchyFile file = read_hierarchies("gpcsup.toml", text, nullptr);
        for (const Located& problem : file.problems) {
            FAIL_CHECK(format(problem));
        }
        CHECK(same(file, all));
        CHECK(std::ranges::equal(file.rules, rules, [](const auto& a, const auto& b) { return a.means(b); }));
    }
}

TEST_CASE("what is written, as a person reads it") {
    grouping::Rule rule;
    rule.user = grouping::parse_who("alice");
    rule.place = {{"tenant", "/students/%u"}};
    grouping::Rule ignore;
    ignore.executable = "backup";
    ignore.action = grouping::RuleAction::ignore;
    const grouping::DeclaredTree tree = {
        {"compute", {"cpuset"}, {{"/", {}, ""}, {"/batch", {{"cpuset.cpus", "1"}}, ""}}, ""},
        {"tenant", {"numtasks"}, {{"/acme", {{"numtasks.limit", "64"}}, ""}, {"/acme/cache", {}, ""}}, ""}};
    const LeftOut left_out[] = {{"tenant:/acme/cache", "goes when it is empty"}};
    CHECK(write_tree(tree, std::vector{rule, ignore}, left_out, style_of) == R"([hierarchy.compute]
controllers = ["cpuset"]
[hierarchy.compute.group."/batch"]
cpuset.cpus = "1"

[hierarchy.tenant]
controllers = ["numtasks"]
[hierarchy.tenant.group."/acme"]
numtasks.limit = 64
# "tenant:/acme/cache": goes when it is empty

[[rule]]
user = "alice"
place = { tenant = "/students/%u" }

[[rule]]
executable = "backup"
ignore = true
)");
}
