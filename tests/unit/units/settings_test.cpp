#include "units/settings.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "units/world.h"

using namespace gpcsup::units;
using namespace std::chrono_literals;

namespace {

std::string assign(Declaration& declaration, std::string_view section, std::string_view key,
                   const SettingValue& value) {
    const SettingRow* row = find_setting(section, key);
    REQUIRE(row != nullptr);
    const auto assigned = row->assign(declaration, value);
    return assigned ? row->print(declaration) : assigned.error().message();
}

}  // namespace

TEST_CASE("every setting's default text is what a fresh declaration prints") {
    const Declaration fresh;
    std::set<std::string> keys;
    for (const SettingRow& row : settings()) {
        CAPTURE(full_key(row));
        CHECK(keys.insert(full_key(row)).second);
        CHECK_FALSE(row.help.empty());
        CHECK(row.help.size() <= 60);
        CHECK_FALSE(type_text(row.type).empty());
        CHECK((row.type == SettingType::any_key) == (row.assign == nullptr));
        CHECK((row.type == SettingType::any_key) == (row.print == nullptr));
        CHECK((row.type == SettingType::word) == !row.words.empty());
        if (row.print != nullptr) {
            CHECK(row.print(fresh) == row.default_text);
        }
    }
}

TEST_CASE("settings are assigned, checked and printed by their row") {
    struct Row {
        const char* section;
        const char* key;
        SettingValue value;
        const char* expected;  // printed, or part of the error
    };
    using List = std::vector<std::string>;
    using Map = std::map<std::string, std::string>;
    const Row rows[] = {
        {"", "description", std::string("Cache"), "Cache"},
        {"", "enabled", false, "false"},
        {"", "wanted_by", List{"evening"}, "[\"evening\"]"},
        {"", "wanted_by", List{"12"}, "taken for a pid"},
        {"service", "type", std::string("notify"), "notify"},
        {"service", "type", std::string("notfy"), "did you mean \"notify\"?"},
        {"service", "type", std::string("dbus"),
         "is none of \"simple\", \"notify\", \"oneshot\", \"forking\""},
        {"service", "command", List{"/bin/a", "b \"c\""}, "[\"/bin/a\", \"b \\\"c\\\"\"]"},
        {"service", "command", List{}, "needs a program"},
        {"service", "command", List{std::string("a\0b", 3)}, "NUL"},
        {"service", "restart", std::string("on-abnormal"), "on-abnormal"},
        {"service", "restart", std::string("on_failure"), "did you mean \"on-failure\"?"},
        {"service", "restart_delay", std::string("1m30s"), "1m30s"},
        {"service", "restart_delay", std::string("5"), "write \"5s\""},
        {"service", "start_limit", std::string("3/1m"), "3/1m"},
        {"service", "start_limit", std::string("max"), "max"},
        {"service", "start_limit", std::string("5"), "write \"5/10s\""},
        {"service", "start_limit", std::string("0/10s"), "write \"5/10s\""},
        {"service", "start_limit", std::string("5/0s"), "limits nothing"},
        {"service", "start_limit", std::string("101/10s"), "1 to 100"},
        {"service", "start_limit", std::string("5/10"), "write \"10s\""},
        {"service", "start_timeout", std::string("max"), "max"},
        {"service", "stop_timeout", std::string("0s"), "always be over"},
        {"service", "stop_signal", std::string("SIGINT"), "INT"},
        {"service", "stop_signal", std::string("SIGITN"), "did you mean"},
        {"service", "user", std::string("redis"), "redis"},
        {"service", "group", std::string("/acme"), "[place]"},
        {"service", "environment", Map{{"A", "1"}, {"B", "x y"}}, "{ A = \"1\", B = \"x y\" }"},
        {"service", "environment", Map{{"A=", "1"}}, "cannot be the name"},
        {"service", "directory", std::string("/srv"), "/srv"},
        {"service", "directory", std::string("srv"), "not an absolute path"},
        {"service", "nice", std::int64_t{-5}, "-5"},
        {"service", "nice", std::int64_t{20}, "between -20 and 19"},
        {"service", "umask", std::string("022"), "022"},
        {"service", "umask", std::string("77"), "077"},
        {"service", "umask", std::string("888"), "octal"},
        {"service", "umask", std::string(""), "octal"},
        {"service", "enforce", List{"numtasks"}, "[\"numtasks\"]"},
        {"service", "terminal", true, "true"},
        {"depends", "requires", List{"db", "network"}, "[\"db\", \"network\"]"},
        {"depends", "requires", List{"/db"}, "letters, digits"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.section, row.key, row.expected);
        Declaration declaration;
        CHECK_THAT(assign(declaration, row.section, row.key, row.value), Catch::Contains(row.expected));
    }
    CHECK(find_setting("service", "ExecStart") == nullptr);
    CHECK(find_setting("limits", "CONTROLLER.ATTRIBUTE") == nullptr);
}

TEST_CASE("effective settings say what is a default") {
    Declaration web = test::service("web");
    note_given(web, *find_setting("service", "command"));
    web.place.edit() = {{"tenant", "/acme"}};
    web.limits.edit() = {{"numtasks.limit", "16"}};
    const auto all = effective_settings(web, Audience::owner);
    const auto find = [&](std::string_view key) {
        const auto found = std::ranges::find(all, key, &EffectiveSetting::key);
        REQUIRE(found != all.end());
        return *found;
    };
    CHECK_FALSE(find("service.command").is_default);
    CHECK(find("service.restart").is_default);
    CHECK(find("service.restart").value == "on-failure");
    CHECK(find("place.tenant").value == "/acme");
    CHECK(find("limits.numtasks.limit").value == "16");
    CHECK(find("depends.requires").value == "[]");
    const auto of_target = effective_settings(test::target("t"), Audience::owner);
    CHECK(
        std::ranges::none_of(of_target, [](const auto& entry) { return entry.key.starts_with("service."); }));
}

TEST_CASE("command lines and environments are for the owner of a unit") {
    Declaration web = test::service("web");
    web.environment.edit() = {{"PASSWORD", "hush"}};
    std::set<std::string> hidden;
    for (const EffectiveSetting& one : effective_settings(web, Audience::owner)) {
        hidden.insert(one.key);
    }
    for (const EffectiveSetting& one : effective_settings(web, Audience::everybody)) {
        hidden.erase(one.key);
    }
    CHECK(hidden == std::set<std::string>{"service.command", "service.environment", "service.reload_command",
                                          "service.stop_command"});
    CHECK(audience_of("service.environment.PASSWORD") == Audience::owner);
    CHECK(audience_of("service.commander") == Audience::everybody);
    CHECK(audience_of("limits.numtasks.limit") == Audience::everybody);
}

TEST_CASE("differences name the keys and what they need to take effect") {
    const Declaration before = test::service("web");
    Declaration after = before;
    CHECK(differences(before, after).empty());
    after.restart = RestartPolicy::always;
    after.command.push_back("-v");
    after.place.edit()["tenant"] = "/acme";
    after.limits.edit().push_back({"numtasks.limit", "5"});
    const auto found = differences(before, after);
    REQUIRE(found.size() == 4);
    CHECK(found[0].key == "service.command");
    CHECK(found[0].applies == Applies::at_start);
    CHECK(found[1].key == "service.restart");
    CHECK(found[1].applies == Applies::at_once);
    CHECK(found[2].key == "place");
    CHECK(found[3].applies == Applies::at_once);
}
