// Attaching as a client asks for it: who may, what each refusal says, and how much of it becomes history.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <map>

#include "grouping/forest_paths.h"
#include "supervisor/attach_request.h"
#include "supervisor/move_rights.h"
#include "supervisor/refusals.h"

using namespace gpcsup;
using gpcsup::tests::make_path;
using namespace gpcsup::supervisor;
using grouping::GroupId;

namespace {

constexpr uid_t owner = 4001;
constexpr uid_t stranger = 4002;

// What /proc says of users; nothing else is asked.
struct Users final : sys::ProcFiles {
    struct Entry {
        std::uint64_t start = 0;
        std::string ids;  // real, effective, saved, file system
    };
    std::map<pid_t, Entry> there;

    base::Result<sys::ProcStat> stat(pid_t pid) override {
        if (!there.contains(pid)) {
            return base::fail(ESRCH, "read", "process");
        }
        sys::ProcStat stat;
        stat.pid = pid;
        stat.start_time = there[pid].start;
        return stat;
    }
    base::Result<std::string> status(pid_t pid) override {
        if (!there.contains(pid)) {
            return base::fail(ESRCH, "read", "process");
        }
        return "Name:\tx\nUid:\t" + there[pid].ids + "\nGid:\t0\t0\t0\t0\n";
    }
    base::Result<std::vector<pid_t>> children(pid_t) override { return std::vector<pid_t>{}; }
    base::Result<std::vector<pid_t>> tasks(pid_t) override { return std::vector<pid_t>{}; }
    base::Result<std::string> environ(pid_t) override { return std::string(); }
    base::Result<std::string> command_line(pid_t) override { return std::string(); }
    base::Result<std::string> executable(pid_t) override { return std::string(); }
};

struct Fixture {
    grouping::Forest forest;
    grouping::HierarchyId h = *forest.create_hierarchy("h", {});
    GroupId top = *make_path(forest, h, "/top");
    GroupId source = *make_path(forest, h, "/top/own/source");
    GroupId target = *make_path(forest, h, "/top/own/target");
    GroupId outside = *make_path(forest, h, "/other");
    GroupId own = *forest.child(top, "own");
    std::unique_ptr<processes::ProcessTable> table =
        std::move(processes::ProcessTable::create(forest).value());
    Users users;
    std::map<GroupId, uid_t> owners;  // of subtrees
    MoveRights rights{forest, users, [this](const control::Caller& caller, GroupId group) -> base::Result<> {
                          for (const auto& [subtree, uid] : owners) {
                              if (uid == caller.uid && forest.is_within(group, subtree)) {
                                  return {};
                              }
                          }
                          return base::refuse(EACCES, "not yours: " + forest.full_path(group));
                      }};

    processes::Process& start(pid_t pid, GroupId group, std::string ids) {
        grouping::Places places{};
        places[h.value] = group;
        users.there[pid] = {100, std::move(ids)};
        return *table->insert({pid, 100}, 1, forest.intern(places)).value();
    }
    int check(uid_t uid, const processes::Process& process, GroupId group) {
        auto allowed = rights.check({uid, 1, 1}, process, {group, table->place(process, h)});
        return allowed ? 0 : allowed.error().code;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "the nearest group above two") {
    CHECK(common_ancestor(forest, source, target) == own);
    CHECK(common_ancestor(forest, own, target) == own);
    CHECK(common_ancestor(forest, target, target) == target);
    CHECK(common_ancestor(forest, outside, target) == forest.hierarchy(h)->root);
}

TEST_CASE_METHOD(Fixture, "who may move a process") {
    owners[own] = owner;
    const auto& process = start(10, source, "4001\t4001\t4001\t4001");
    SECTION("root and the supervisor's own user, whoever's it is") {
        CHECK(check(0, process, outside) == 0);
        CHECK(check(geteuid(), process, outside) == 0);
    }
    SECTION("its user, within what is delegated to him") {
        CHECK(check(owner, process, target) == 0);
        CHECK(check(owner, process, own) == 0);
    }
    SECTION("not out of it, and not into it from outside: the group above both is not his") {
        CHECK(check(owner, process, outside) == EACCES);
        CHECK(check(owner, start(11, outside, "4001\t4001\t4001\t4001"), target) == EACCES);
    }
    SECTION("another's process is not his by being in his group") {
        CHECK(check(owner, start(12, source, "4002\t4002\t4002\t4002"), target) == EACCES);
    }
    SECTION("the saved user counts, the effective one does not") {
        CHECK(check(owner, start(13, source, "4002\t4002\t4001\t4002"), target) == 0);
        CHECK(check(owner, start(14, source, "4002\t4001\t4002\t4001"), target) == EACCES);
    }
    SECTION("his process in groups that are not his") {
        CHECK(check(stranger, start(15, source, "4002\t4002\t4002\t4002"), target) == EACCES);
    }
    SECTION("a number that is another process's by now") {
        users.there[10].start = 200;
        CHECK(check(owner, process, target) == ESRCH);
        users.there.erase(10);
        CHECK(check(owner, process, target) == ESRCH);
    }
}

TEST_CASE("a refusal names each item, and has one code when all have one") {
    const RefusedItem gone{ItemKind::process, "71", {}, "h:/a", {ESRCH, "there is no such process", {}, {}}};
    const RefusedItem denied{ItemKind::process, "72", {{72, 5}}, "h:/a", {EACCES, "not yours", {}, "ask"}};
    const RefusedItem group{ItemKind::group, "h:/x", {}, "h:/x", {ENOENT, "there is no group h:/x", {}, {}}};
    const RefusedItem idle{ItemKind::unit, "web", {}, "h:/a", {ESRCH, "web has no processes", {}, {}}};
    const auto of = [](std::vector<RefusedItem> items) { return summary(items); };
    CHECK(of({gone}).message() == "71: there is no such process");
    CHECK(of({gone}).code == ENOENT);
    CHECK(of({idle}).code == ESRCH);
    CHECK(of({gone, group}).code == ENOENT);
    CHECK(of({gone, denied}).code == EIO);
    CHECK(of({denied, denied}).code == EACCES);
    CHECK(of({gone, denied}).message() ==
          "nothing was moved, 2 items are refused:\n71: there is no such process\n72: not yours; ask");
    CHECK(to_json(gone).dump() ==
          R"({"pid":71,"group":"h:/a","error":"there is no such process","errno":3})");
    CHECK(to_json(idle).dump() ==
          R"({"unit":"web","group":"h:/a","error":"web has no processes","errno":3})");
    CHECK(to_json(group).dump() == R"({"group":"h:/x","error":"there is no group h:/x","errno":2})");
}

TEST_CASE("the sentence is bounded, however many are refused") {
    const RefusedItem gone{ItemKind::process, "71", {}, "", {ESRCH, "gone", {}, {}}};
    const std::vector<RefusedItem> many(50'000, gone);
    const std::string text = summary(many).message();
    CHECK(text.size() < 20'000);
    CHECK(text.ends_with("\nand 49000 more"));
}

TEST_CASE("refusals in a loop do not fill the journal") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    KeeperLink keeper{base::Fd(ends[0])};
    const base::Fd other(ends[1]);
    Chronicle chronicle(journal::Journal::create().value(), keeper);
    Refusals refusals(chronicle);
    std::vector<std::string> lines;
    chronicle.on_event([&](const std::string& line) { lines.push_back(line); });
    std::uint64_t now = 1'000'000'000'000;
    for (int time = 0; time < 1000; ++time) {
        refusals.note("refused-attach", {{"pid", time}}, now);
    }
    CHECK(lines.size() == Refusals::at_once);
    now += Refusals::interval_ns;
    refusals.note("refused-attach", {{"pid", 5}}, now);
    REQUIRE(lines.size() == Refusals::at_once + 1);
    CHECK(lines.back().find("\"left_out\":980") != std::string::npos);
    refusals.note("refused-attach", {{"pid", 6}}, now);
    CHECK(lines.size() == Refusals::at_once + 1);
    now += 100 * Refusals::interval_ns;
    for (int time = 0; time < 1000; ++time) {
        refusals.note("refused-set", {{"group", "h:/a"}}, now);
    }
    CHECK(lines.size() == 2 * Refusals::at_once + 1);
}
