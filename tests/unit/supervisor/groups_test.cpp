// Hierarchies and groups with their journal: what a successor finds after SIGKILL, and after compaction.

#include "supervisor/groups.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <fmt/format.h>
#include <array>

#include <catch2/catch.hpp>
#include <cerrno>

#include "controllers/fake_host.h"
#include "controllers/lodger.h"
#include "supervisor/compacted.h"
#include "supervisor/live_tree.h"

using namespace gpcsup;
using namespace gpcsup::supervisor;
using grouping::GroupId;
using Words = std::vector<std::string>;

namespace {

// One gpcsupd's part of it. A successor is made from the predecessor's journal and nothing else.
struct Life {
    explicit Life(base::Fd memory = {})
        : channel_(open_channel()),
          keeper_(base::Fd(channel_[0])),
          init_(channel_[1]),
          adopted_(static_cast<bool>(memory)),
          journal_(adopted_ ? *journal::Journal::adopt(std::move(memory)) : *journal::Journal::create()),
          descriptor_(journal_.descriptor()),
          states_(*journal::fold(journal_)),
          chronicle_(std::move(journal_), keeper_),
          groups_(host_.trees(), set_, chronicle_) {
        if (adopted_) {
            groups_.restore_forest(states_);
            REQUIRE(groups_.restore_settings(states_));
            (void)groups_.collect_empty({});
        }
    }
    static std::array<int, 2> open_channel() {
        std::array<int, 2> ends{};
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
        return ends;
    }
    [[nodiscard]] base::Fd memory() const { return base::Fd(fcntl(descriptor_, F_DUPFD_CLOEXEC, 3)); }

    base::Result<> put(std::string_view path, std::vector<controllers::SettingText> settings) {
        return groups_.set(*host_.trees().resolve(path), settings);
    }
    GroupId make(std::string_view path) { return *groups_.create(path, Groups::Parents::made); }
    std::string get(std::string_view path, std::string_view attribute) {
        return controllers::format_value(*set_.get(*host_.trees().resolve(path), attribute));
    }
    Words groups() {
        Words paths;
        for (const grouping::Hierarchy* hierarchy : host_.trees().hierarchies()) {
            host_.trees().for_each_below(hierarchy->root, [&](const grouping::Group& group) {
                paths.push_back(host_.trees().full_path(group.id) + (group.dying ? " dying" : ""));
            });
        }
        return paths;
    }
    Words events(std::string_view word) {
        Words found;
        const auto lines = chronicle_.lines(0, 0);
        for (std::size_t at = 0; at < lines->first.size();) {
            const std::size_t end = lines->first.find('\n', at);
            const Json event = Json::parse(lines->first.substr(at, end - at));
            if (event["event"] == word) {
                found.push_back(event.contains("group") ? event["group"] : event["hierarchy"]);
            }
            at = end + 1;
        }
        return found;
    }

    std::array<int, 2> channel_;
    KeeperLink keeper_;
    base::Fd init_;
    bool adopted_;
    journal::Journal journal_;
    int descriptor_;
    journal::States states_;
    test::FakeHost host_;
    controllers::ControllerSet set_{host_.trees(), host_};
    Chronicle chronicle_;
    Groups groups_;
};

}  // namespace

TEST_CASE("hierarchies that came, went and changed are as they were for a successor") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"numtasks"}));
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"numtasks"}));  // the same
    const auto gone = first.groups_.create_hierarchy("gone", Words{"cpuset"});
    const auto changed = first.groups_.create_hierarchy("changed", Words{"cpuset", "cpuacct"}).error().code;
    CHECK(changed == EBUSY);
    REQUIRE(first.groups_.remove_hierarchy(*gone));
    const auto rebound = *first.groups_.create_hierarchy("rebound", Words{"cpuset"});
    REQUIRE(first.put("rebound:/", {{"group.max_depth", "3"}}));
    REQUIRE(first.groups_.rebind_hierarchy(rebound, Words{"cpuacct"}));
    REQUIRE(first.put("tree:/", {{"numtasks.limit", "9"}}));
    CHECK(first.events("hierarchy-created") == Words{"tree", "gone", "rebound"});
    CHECK(first.events("hierarchy-removed") == Words{"gone"});
    CHECK(first.events("hierarchy-rebound") == Words{"rebound"});

    Life second(first.memory());
    CHECK(second.groups() == Words{"unit:/", "tree:/", "rebound:/"});
    CHECK(second.host_.trees().find_hierarchy("cpuacct")->name == "rebound");
    CHECK(std::ranges::count(second.set_.unbound(), "cpuset") == 1);
    CHECK(second.get("tree:/", "numtasks.limit") == "9");
    CHECK(second.get("rebound:/", "group.max_depth") == "3");
}

TEST_CASE("whose rules a hierarchy keeps to is known to a successor, also after the journal was compacted") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("old", Words{"numfiles"}, grouping::Compat::year_2006));
    REQUIRE(first.groups_.create_hierarchy("new", Words{"numtasks"}));
    first.make("old:/a");
    first.make("old:/b");
    REQUIRE(first.put("old:/a", {{"numfiles.barrier", "max"}, {"numfiles.limit", "max"}}));
    const auto check = [](Life& life) {
        CHECK(life.host_.trees().find_hierarchy("old")->compat == grouping::Compat::year_2006);
        CHECK(life.host_.trees().find_hierarchy("new")->compat == grouping::Compat::none);
        CHECK(life.get("old:/a", "numfiles.limit") == "max");
        CHECK(life.get("old:/b", "numfiles.limit") == "512");
        const grouping::DeclaredTree live = live_tree(life.host_.trees(), life.set_);
        CHECK(live[0].compat == grouping::Compat::year_2006);
        CHECK(live[1].compat == grouping::Compat::none);
    };
    Life second(first.memory());
    check(second);
    Life third(tests::compacted(second.chronicle_, std::move(second.init_)));
    check(third);
}

TEST_CASE("a record that cannot be read is told of and left out, and all others are restored") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"numtasks"}));
    const GroupId broken = first.make("tree:/a");
    first.make("tree:/b");
    REQUIRE(first.put("tree:/a", {{"numtasks.limit", "7"}}));
    REQUIRE(first.put("tree:/b", {{"numtasks.limit", "9"}}));
    const std::string bad[] = {"hierarchy/none", "hierarchy/07", "group/none", "group/00000077",
                               fmt::format("settings/{:08}", broken.value)};
    first.chronicle_.keep(bad[0], R"({"name": "none"})");  // a number that is none
    first.chronicle_.keep(bad[1], "no JSON");
    first.chronicle_.keep(bad[2], R"([1])");                         // no object
    first.chronicle_.keep(bad[3], R"({"parent": "a", "name": 1})");  // other types
    first.chronicle_.keep(bad[4], R"({"settings": {"numtasks.limit": 7}})");

    Life second(first.memory());
    CHECK(second.groups() == Words{"unit:/", "tree:/", "tree:/a", "tree:/b"});
    CHECK(second.get("tree:/b", "numtasks.limit") == "9");
    const std::string told = second.chronicle_.lines(0, 0)->first;
    for (const std::string& key : bad) {
        CHECK(told.find(R"("event":"state-lost","what":")" + key + '"') != std::string::npos);
    }
}

TEST_CASE("groups with what they inherited are as they were for a successor") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"cpuset"}));
    first.make("tree:/a");
    REQUIRE(first.put("tree:/a", {{"group.notify_on_release", "true"},
                                  {"group.clone_children", "true"},
                                  {"group.owner", "1000"},
                                  {"group.max_descendants", "7"},
                                  {"cpuset.cpus", "1"}}));
    first.make("tree:/a/b/c");
    REQUIRE(first.groups_.create("tree:/d/e", Groups::Parents::made, 1001));
    CHECK(first.groups_.create("tree:/x/y", Groups::Parents::must_exist).error().code == ENOENT);
    CHECK(first.groups_.create("tree:/a/b", Groups::Parents::must_exist).error().code == EEXIST);
    REQUIRE(first.groups_.rename(*first.host_.trees().resolve("tree:/d"), "f"));
    CHECK(first.events("group-created") ==
          Words{"tree:/a", "tree:/a/b", "tree:/a/b/c", "tree:/d", "tree:/d/e"});
    CHECK(first.events("group-renamed") == Words{"tree:/f"});

    const auto check = [](Life& life) {
        CHECK(life.groups() ==
              Words{"unit:/", "tree:/", "tree:/a", "tree:/a/b", "tree:/a/b/c", "tree:/f", "tree:/f/e"});
        CHECK(life.get("tree:/a/b/c", "group.notify_on_release") == "true");
        CHECK(life.get("tree:/a/b/c", "group.clone_children") == "true");
        CHECK(life.get("tree:/a/b/c", "group.owner") == "1000");
        CHECK(life.get("tree:/a/b/c", "cpuset.cpus") == "1");
        CHECK(life.get("tree:/a/b/c", "group.max_descendants") == "max");
        CHECK(life.get("tree:/a", "group.max_descendants") == "7");
        CHECK(life.get("tree:/f/e", "group.owner") == "1001");
        CHECK(life.get("tree:/f", "group.owner") == "1001");
        CHECK(life.get("tree:/", "group.owner") == "none");
    };
    Life second(first.memory());
    check(second);
    SECTION("also after the journal was compacted") {
        Life third(tests::compacted(second.chronicle_, std::move(second.init_)));
        check(third);
    }
}

TEST_CASE("a held group is dying for a successor, too, until its holder lets it go") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"lodger"}));
    const GroupId held = first.make("tree:/held");
    const GroupId left = first.make("tree:/left");
    test::lodgers_come(first.host_, held, 2);
    test::lodgers_come(first.host_, left, 1);
    REQUIRE(first.groups_.remove(held));
    REQUIRE(first.groups_.remove(left));
    first.make("tree:/held");  // the name is free
    CHECK(first.events("group-dying") == Words{"tree:/held", "tree:/left"});
    CHECK(first.events("group-removed").empty());
    test::lodgers_leave_unseen(left);

    Life second(first.memory());
    CHECK(second.groups() == Words{"unit:/", "tree:/", "tree:/held dying", "tree:/held"});
    CHECK(second.events("group-removed") == Words{"tree:/left"});
    CHECK(second.host_.trees().group(held)->holders->at("lodger") == "2 lodgers");
    const grouping::DeclaredTree live = live_tree(second.host_.trees(), second.set_);
    CHECK(std::ranges::count(live[0].groups, "/held", &grouping::DeclaredGroup::path) == 1);
    test::lodgers_leave(second.host_, held);
    (void)second.groups_.collect_empty({});
    CHECK(second.events("group-removed") == Words{"tree:/left", "tree:/held"});

    Life third(second.memory());
    CHECK(third.groups() == Words{"unit:/", "tree:/", "tree:/held"});
}

TEST_CASE(
    "a tree is removed with an event for each group, and a removal cut off in the middle leaves no "
    "settings") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"numtasks"}));
    const GroupId top = first.make("tree:/a");
    const GroupId low = first.make("tree:/a/b");
    REQUIRE(first.put("tree:/a/b", {{"numtasks.limit", "5"}}));
    REQUIRE(first.groups_.remove_tree(top));
    CHECK(first.events("group-removed") == Words{"tree:/a/b", "tree:/a"});
    // As if it had been killed before the second record of the removal.
    first.chronicle_.state(
        "", "settings/" + std::string(8 - std::to_string(low.value).size(), '0') + std::to_string(low.value),
        {{"group", "tree:/a/b"}, {"settings", {{"numtasks.limit", "5"}}}});
    Life second(first.memory());
    CHECK(second.groups() == Words{"unit:/", "tree:/"});
    Life third(second.memory());
    CHECK(third.states_.lower_bound("settings/") == third.states_.lower_bound("settings0"));
}

TEST_CASE("a removal that is cut off after its first record is ended by a successor") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"numtasks"}));
    const GroupId top = first.make("tree:/a");
    const GroupId low = first.make("tree:/a/b");
    REQUIRE(first.put("tree:/a/b", {{"numtasks.limit", "5"}}));
    const GroupId other = first.make("tree:/c");
    for (const GroupId id : {low, top}) {  // as remove_tree begins with each
        const grouping::Group& group = *first.host_.trees().group(id);
        first.chronicle_.state("", fmt::format("group/{:08}", id.value),
                               {{"parent", group.parent.value}, {"name", group.name}, {"going", true}});
    }
    Life second(first.memory());
    CHECK(second.groups() == Words{"unit:/", "tree:/", "tree:/c"});
    CHECK(second.events("group-removed") == Words{"tree:/a/b", "tree:/a"});
    CHECK(second.host_.trees().group(other) != nullptr);
    Life third(second.memory());
    CHECK(third.groups() == Words{"unit:/", "tree:/", "tree:/c"});
    CHECK(third.events("group-removed").size() == 2);  // and not again
}

TEST_CASE("a change that was cut off goes back to what it was before, unless it was through") {
    Life first;
    REQUIRE(first.groups_.create_hierarchy("tree", Words{"cpuacct"}));
    const GroupId id = first.make("tree:/a");
    const bool through = GENERATE(true, false);
    INFO("through: " << through);
    const Json settings = {{"settings", Json::object()}};
    const Json changing = {{"settings", {{"cpuacct.mark", "now"}}},
                           {"before", {{"settings", {{"cpuacct.mark", "7"}}}}}};
    const auto write_settings = [&] {
        first.chronicle_.state("", fmt::format("settings/{:08}", id.value), settings);
    };
    const auto write_change = [&] {
        first.chronicle_.state("", fmt::format("changing/{}", id.value), changing);
    };
    through ? (write_change(), write_settings()) : (write_settings(), write_change());
    Life second(first.memory());
    CHECK(second.get("tree:/a", "cpuacct.mark") == (through ? "0" : "7"));
    Life third(second.memory());
    CHECK(third.states_.lower_bound("changing/") == third.states_.lower_bound("changing0"));
}

TEST_CASE("a unit's group that could not be removed with it goes when it is empty, for a successor too") {
    Life first;
    const auto unit = first.host_.trees().hierarchies().front()->root;
    const GroupId left = *first.groups_.own_group(unit, "left", Groups::Lifetime::until_removed);
    const GroupId free = *first.groups_.own_group(unit, "free", Groups::Lifetime::until_removed);
    grouping::Places places{};
    places[0] = left;
    auto& stubborn = *first.host_.table_->insert({100, 7}, 1, first.host_.trees().intern(places)).value();
    first.groups_.remove_or_leave(free);
    first.groups_.remove_or_leave(left);
    CHECK(first.groups() == Words{"unit:/", "unit:/left"});
    Life second(first.memory());
    CHECK(second.host_.trees().group(left)->auto_remove);
    first.host_.table_->mark_dead(stubborn);
    first.host_.table_->erase(stubborn);
    (void)first.groups_.collect_empty(std::array{left});
    CHECK(first.groups() == Words{"unit:/"});
}
