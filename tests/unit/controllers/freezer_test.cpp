#include "controllers/freezer.h"

#include <catch2/catch.hpp>

#include "controllers/fake_host.h"

using namespace gpcsup;
using namespace gpcsup::controllers;
using grouping::GroupId;

namespace {

struct Frost {
    test::FakeHost host;
    ControllerSet set{host.trees(), host};
    grouping::HierarchyId tenant =
        *set.create_hierarchy("tenant", std::vector<std::string>{"freezer", "numtasks"});
    GroupId acme = *set.create_path(tenant, "/acme");
    GroupId web = *set.create_path(tenant, "/acme/web");

    base::Result<> put(GroupId id, std::vector<SettingText> settings) { return set.set(id, settings); }
    base::Result<> state(GroupId id, std::string word) {
        return put(id, {{"freezer.state", std::move(word)}});
    }
    std::string get(GroupId id, std::string_view name) { return format_value(*set.get(id, name)); }
};

}  // namespace

TEST_CASE_METHOD(Frost, "a frozen group freezes those below it, which are thawed with it") {
    CHECK(get(acme, "freezer.state") == "thawed");
    CHECK(state(acme, "frozen"));
    CHECK(get(acme, "freezer.state") == "frozen");
    CHECK(get(acme, "freezer.self_freezing") == "true");
    CHECK(get(acme, "freezer.parent_freezing") == "false");
    CHECK(get(web, "freezer.state") == "frozen");
    CHECK(get(web, "freezer.self_freezing") == "false");
    CHECK(get(web, "freezer.parent_freezing") == "true");
    CHECK(state(web, "thawed"));  // agreed to, as the kernel does; what is above it still holds it
    CHECK(get(web, "freezer.state") == "frozen");
    CHECK(state(acme, "thawed"));
    CHECK(get(web, "freezer.state") == "thawed");
}

TEST_CASE_METHOD(Frost, "freezing lasts until the last one stands still") {
    host.moving_ = {acme};
    CHECK(state(acme, "frozen"));
    CHECK(get(acme, "freezer.state") == "freezing");
    host.moving_.clear();
    CHECK(get(acme, "freezer.state") == "frozen");
}

TEST_CASE_METHOD(Frost, "what cannot be said of freezing") {
    struct Row {
        const char* word;
        const char* message;
    };
    const Row rows[] = {
        {"freezing", "freezer.state: expected \"frozen\" or \"thawed\", got 'freezing'; write \"frozen\""},
        {"FROZEN", "freezer.state: expected \"frozen\" or \"thawed\", got 'FROZEN'; write \"frozen\""},
        {"0", "freezer.state: expected \"frozen\" or \"thawed\", got '0'; write \"thawed\""},
        {"ice", "freezer.state: expected \"frozen\" or \"thawed\", got 'ice'"},
    };
    for (const Row& row : rows) {
        const auto refused = state(acme, row.word);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == EINVAL);
        CHECK(refused.error().message() == row.message);
    }
    const auto root = state(host.forest().hierarchy(tenant)->root, "frozen");
    REQUIRE_FALSE(root);
    CHECK(root.error().message() ==
          "freezer.state of tenant:/: the root of a hierarchy holds every process and is not frozen; "
          "freeze a group below it");
    const auto read_only = put(acme, {{"freezer.self_freezing", "true"}});
    REQUIRE_FALSE(read_only);
    CHECK(read_only.error().code == EACCES);
}

TEST_CASE_METHOD(Frost, "a transaction that fails leaves a group below a frozen one its own word") {
    CHECK(state(acme, "frozen"));
    host.table_full_ = true;
    CHECK_FALSE(put(web, {{"freezer.state", "thawed"}, {"numtasks.limit", "5"}}));
    CHECK(get(web, "freezer.self_freezing") == "false");  // it shows frozen, which nobody asked of it
    CHECK_FALSE(put(acme, {{"freezer.state", "thawed"}, {"numtasks.limit", "5"}}));
    CHECK(get(acme, "freezer.self_freezing") == "true");
}

TEST_CASE_METHOD(Frost, "what gpcsup freeze asked for is seen, and can be thawed here") {
    host.freeze(web);
    CHECK(get(web, "freezer.state") == "frozen");
    CHECK(set.settings_of(web).empty());
    CHECK(state(web, "thawed"));
    CHECK_FALSE(host.forest().group(web)->frozen);
}

TEST_CASE_METHOD(Frost, "after a restart the host's record is believed, and completed from the setting") {
    CHECK(set.restore_setting(acme, {"freezer.state", "frozen"}));
    CHECK(get(acme, "freezer.state") == "thawed");  // nobody is touched before all settings are there
    set.recover();
    CHECK(get(acme, "freezer.state") == "frozen");
    CHECK(set.settings_of(acme).front().value == "frozen");
}
