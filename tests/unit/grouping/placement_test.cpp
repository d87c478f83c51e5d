#include "grouping/placement.h"
#include "grouping/forest_paths.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <map>
#include <set>

using namespace gpcsup;
using gpcsup::tests::make_path;
using namespace gpcsup::grouping;

namespace {

struct People final : Population {
    std::map<base::ProcessId, Places> where;
    std::optional<Places> places(base::ProcessId process) override {
        const auto known = where.find(process);
        return known != where.end() ? std::optional(known->second) : std::nullopt;
    }
    void move(base::ProcessId process, const Places& places) override {
        if (where.contains(process)) {
            where[process] = places;
        }
    }
    std::map<base::ThreadId, Places> apart;  // GroupId{0}: with its process
    std::optional<Places> places(const base::ThreadId& thread) override {
        auto found = places(thread.process);
        const auto own = apart.find(thread);
        for (unsigned slot = 0; found && own != apart.end() && slot < max_hierarchies; ++slot) {
            (*found)[slot] = own->second[slot].value != 0 ? own->second[slot] : (*found)[slot];
        }
        return found;
    }
    void move(const base::ThreadId& thread, const Places& places) override {
        Places& own = apart[thread];
        for (unsigned slot = 0; slot < max_hierarchies; ++slot) {
            if (places[slot].value != 0) {
                own[slot] = places[slot] == where.at(thread.process)[slot] ? GroupId{} : places[slot];
            }
        }
    }
    std::vector<base::ThreadId> threads_apart(base::ProcessId process) override {
        std::vector<base::ThreadId> found;
        for (const auto& [thread, own] : apart) {
            if (thread.process == process && own != Places{}) {
                found.push_back(thread);
            }
        }
        return found;
    }
};

// A participant with a machine of its own: where it believes each process to be, in each hierarchy.
struct Part final : Participant {
    std::string name;
    std::string* trail;
    std::map<std::pair<unsigned, pid_t>, GroupId> machine;
    std::set<unsigned> refuse_in;
    std::set<unsigned> fail_in;
    std::set<pid_t> refused;  // processes
    std::set<pid_t> fails;
    std::size_t at_most = 1000;
    int reservations = 0;

    Part(std::string own, std::string& shared) : name(std::move(own)), trail(&shared) {}
    base::Result<> can_attach(HierarchyId hierarchy, std::span<const Transfer> transfers) override {
        *trail += name + "?" + std::to_string(hierarchy.value) + " ";
        const bool named = std::ranges::any_of(
            transfers, [this](const Transfer& each) { return refused.contains(each.process.pid); });
        if (named || transfers.size() > at_most || refuse_in.contains(hierarchy.value)) {
            return base::refuse(EACCES, name + " refuses");
        }
        ++reservations;
        return {};
    }
    void cancel_attach(HierarchyId hierarchy, std::span<const Transfer>) override {
        *trail += name + "x" + std::to_string(hierarchy.value) + " ";
        --reservations;
    }
    base::Result<> attach(HierarchyId hierarchy, std::span<const Transfer> transfers) override {
        *trail += name + "!" + std::to_string(hierarchy.value) + " ";
        bool first = true;
        for (const Transfer& each : transfers) {
            if (fails.contains(each.process.pid)) {
                return base::refuse(EPERM, name + " fails");
            }
            if (fail_in.contains(hierarchy.value) && !first) {
                return base::refuse(EPERM, name + " fails halfway");
            }
            machine[{hierarchy.value, each.process.pid}] = each.to;
            first = false;
        }
        return {};
    }
};

struct Log final : PlacementLog {
    std::string* trail;
    std::vector<Relocation> last;
    bool fail_intend = false;
    bool fail_commit = false;
    explicit Log(std::string& shared) : trail(&shared) {}
    base::Result<std::uint64_t> intend(std::span<const Relocation> relocations) override {
        if (fail_intend) {
            return base::fail(ENOSPC, "append to", "the journal");
        }
        *trail += "intend ";
        last.assign(relocations.begin(), relocations.end());
        return std::uint64_t{1};
    }
    base::Result<> commit(std::uint64_t) override {
        if (fail_commit) {
            return base::fail(ENOSPC, "append to", "the journal");
        }
        *trail += "commit";
        return {};
    }
    void abandon(std::uint64_t) override { *trail += "abandon"; }
};

struct Fixture {
    Forest forest;
    HierarchyId h1 = *forest.create_hierarchy("h1", {});
    HierarchyId h2 = *forest.create_hierarchy("h2", {});
    GroupId a = *make_path(forest, h1, "/a");
    GroupId b = *make_path(forest, h2, "/b");
    std::string trail;
    Part one{"one", trail};
    Part two{"two", trail};
    Log log{trail};
    People people;
    std::array<Participant*, 2> parts{&one, &two};
    base::ProcessId p{10, 1};
    base::ProcessId q{11, 1};
    Places home;

    Fixture() {
        home = forest.places(MembershipId{0});
        people.where = {{p, home}, {q, home}};
    }
    PlacementOutcome move(std::vector<base::ProcessId> who, std::vector<GroupId> groups,
                          Vanished vanished = Vanished::refuse) {
        return place(forest, parts, people, log, {std::move(who), std::move(groups), vanished});
    }
    [[nodiscard]] bool machine_is_home() const {
        for (const Part* part : {&one, &two}) {
            for (const auto& [key, group] : part->machine) {
                if (group != home[key.first]) {
                    return false;
                }
            }
        }
        return true;
    }
    [[nodiscard]] bool nothing_changed() const {
        return people.where.at(p) == home && people.where.at(q) == home && machine_is_home() &&
               one.reservations == 0 && two.reservations == 0;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "processes move in several hierarchies at once") {
    const auto outcome = move({p, q, p}, {a, b});
    CHECK(outcome.result());
    CHECK(outcome.moved.size() == 2);
    CHECK(trail == "one?1 two?1 one?2 two?2 intend one!1 two!1 one!2 two!2 commit");
    CHECK(people.where[p][h1.value] == a);
    CHECK(people.where[q][h2.value] == b);
    CHECK(people.where[q][0] == home[0]);
    CHECK(one.machine[{h2.value, 11}] == b);
    SECTION("who is there already is not moved again") {
        trail.clear();
        CHECK(move({p}, {a}).result());
        CHECK(trail.empty());
    }
    SECTION("one hierarchy at a time leaves the other as it is") {
        CHECK(move({p}, {forest.hierarchy(h1)->root}).result());
        CHECK(people.where[p][h1.value] == forest.hierarchy(h1)->root);
        CHECK(people.where[p][h2.value] == b);
    }
}

TEST_CASE_METHOD(Fixture, "a refusal anywhere leaves all where they were, and every refusal is told") {
    two.refuse_in = {1, 2};
    const auto outcome = move({p, q}, {a, b});
    CHECK(outcome.refusals.size() == 4);
    CHECK(outcome.result().error().message() == "two refuses; 3 more refused");
    CHECK(outcome.moved.empty());
    // Who refuses many is asked about each, to know whose fault it is.
    CHECK(trail == "one?1 two?1 two?1 two?1 one?2 two?2 two?2 two?2 onex2 onex1 ");
    CHECK(nothing_changed());
}

TEST_CASE_METHOD(Fixture, "what is refused is told by process") {
    SECTION("when it may not be moved") {
        two.refused = {q.pid};
        const auto outcome = move({p, q}, {a, b});
        REQUIRE(outcome.refusals.size() == 2);
        for (const Refusal& refusal : outcome.refusals) {
            CHECK(refusal.process == q);
        }
        CHECK(outcome.refusals[0].group == a);
        CHECK(outcome.refusals[1].group == b);
        CHECK(nothing_changed());
    }
    SECTION("when the machine does not let it") {
        two.fails = {q.pid};
        const auto outcome = move({p, q}, {a});
        REQUIRE(outcome.refusals.size() == 1);
        CHECK(outcome.refusals[0].process == q);
        CHECK(outcome.refusals[0].error.code == EPERM);
        CHECK(people.where[p] == home);
        CHECK(machine_is_home());
        CHECK(trail.ends_with("abandon"));
    }
    SECTION("not when only all of them together are too many") {
        two.at_most = 1;
        const auto outcome = move({p, q}, {a});
        REQUIRE(outcome.refusals.size() == 1);
        CHECK_FALSE(outcome.refusals[0].process.has_value());
        CHECK(outcome.refusals[0].group == a);
        CHECK(nothing_changed());
    }
}

TEST_CASE_METHOD(Fixture, "an attach that fails halfway is taken back everywhere") {
    one.fail_in = {2};
    auto outcome = move({p, q}, {a, b});
    CHECK(outcome.result().error().code == EPERM);
    CHECK(people.where[p] == home);
    CHECK(people.where[q] == home);
    CHECK(outcome.result().error().message() ==
          "one fails halfway; taking it back failed, too: one fails halfway");
    CHECK(trail.ends_with("abandon"));
    SECTION("and when the way back is free, the machine is as before") {
        one.fail_in.clear();
        two.fail_in = {2};
        one.machine.clear();
        two.machine.clear();
        struct Heals final : Participant {
            Part& part;
            explicit Heals(Part& wrapped) : part(wrapped) {}
            base::Result<> can_attach(HierarchyId h, std::span<const Transfer> t) override {
                return part.can_attach(h, t);
            }
            void cancel_attach(HierarchyId h, std::span<const Transfer> t) override {
                part.cancel_attach(h, t);
            }
            base::Result<> attach(HierarchyId h, std::span<const Transfer> t) override {
                auto result = part.attach(h, t);
                if (!result) {
                    part.fail_in.clear();
                }
                return result;
            }
        } heals(two);
        parts[1] = &heals;
        CHECK(move({p, q}, {a, b}).result().error().message() == "two fails halfway");
        CHECK(machine_is_home());
        CHECK(people.where[p] == home);
    }
}

TEST_CASE_METHOD(Fixture, "a thread moves apart from its process, and comes home with it") {
    const base::ThreadId thread{p, 12, 5};
    const base::ThreadId other{p, 13, 6};
    const GroupId third = *make_path(forest, h1, "/third");
    const auto apart = [&](std::vector<base::ThreadId> who, std::vector<GroupId> groups) {
        return place(forest, parts, people, log, {{}, std::move(groups), Vanished::refuse, std::move(who)});
    };
    REQUIRE(apart({thread, thread}, {a, b}).result());
    CHECK(trail == "one?1 two?1 one?2 two?2 intend one!1 two!1 one!2 two!2 commit");
    REQUIRE(log.last.size() == 1);
    CHECK(log.last[0].thread == thread);
    CHECK(log.last[0].from[0] == GroupId{0});  // only where it moves
    CHECK(people.where[p] == home);
    CHECK((*people.places(thread))[h1.value] == a);
    CHECK(people.apart[thread][0] == GroupId{0});
    SECTION("where it is already it is not moved again") {
        trail.clear();
        CHECK(apart({thread}, {a}).result());
        CHECK(trail.empty());
    }
    SECTION("to where its process is it is not apart any more") {
        REQUIRE(apart({thread}, {forest.hierarchy(h1)->root}).result());
        CHECK(people.apart[thread][h1.value] == GroupId{0});
        CHECK(people.apart[thread][h2.value] == b);
    }
    SECTION("with its process, in the hierarchies in which that one is moved") {
        const auto to = std::array{forest.hierarchy(h1)->root, a, third}[GENERATE(0u, 1u, 2u)];
        const auto outcome = move({p}, {to});
        CHECK(outcome.result());
        CHECK(people.where[p][h1.value] == to);
        CHECK(people.apart[thread][h1.value] == GroupId{0});
        CHECK((*people.places(thread))[h2.value] == b);
        SECTION("and a successor that finds the intent of that puts both back") {
            CHECK(settle(forest, parts, people, log.last).empty());
            CHECK(people.where[p] == home);
            CHECK((*people.places(thread))[h1.value] == a);
            CHECK((*people.places(thread))[h2.value] == b);
        }
    }
    SECTION("a move of its process that fails leaves it where it is") {
        one.fails = {p.pid};
        const auto to = std::array{forest.hierarchy(h1)->root, a, third}[GENERATE(0u, 1u, 2u)];
        CHECK(move({p}, {to}).result().error().code == EPERM);
        CHECK(people.where[p] == home);
        CHECK((*people.places(thread))[h1.value] == a);
    }
    SECTION("two threads: both or none, and the refusal names the one") {
        one.refuse_in = {2};
        const auto outcome = apart({thread, other}, {forest.hierarchy(h1)->root, forest.hierarchy(h2)->root});
        REQUIRE(outcome.refusals.size() == 1);  // the other one is there already
        CHECK(outcome.refusals[0].thread == thread);
        CHECK((*people.places(thread))[h1.value] == a);
    }
    SECTION("one whose process has gone") {
        people.where.erase(p);
        const auto outcome = apart({thread}, {forest.hierarchy(h1)->root});
        REQUIRE(outcome.refusals.size() == 1);
        CHECK(outcome.refusals[0].error.message() == "cannot attach thread 12: No such process");
        CHECK(outcome.refusals[0].thread == thread);
    }
}

TEST_CASE_METHOD(Fixture, "the journal has a say, too") {
    SECTION("no intent, no move") {
        log.fail_intend = true;
        CHECK(move({p}, {a}).result().error().code == ENOSPC);
        CHECK(nothing_changed());
    }
    SECTION("no commit, no move") {
        log.fail_commit = true;
        CHECK(move({p}, {a}).result().error().code == ENOSPC);
        CHECK(people.where[p] == home);
        CHECK(machine_is_home());
    }
}

TEST_CASE_METHOD(Fixture, "what cannot be asked for") {
    SECTION("two groups of one hierarchy") {
        const auto outcome = move({p}, {a, forest.hierarchy(h1)->root});
        CHECK(outcome.result().error().code == EINVAL);
        CHECK(outcome.result().error().message() ==
              "h1:/a and h1:/ are of one hierarchy: a process is in one group of each");
    }
    SECTION("a removed group") {
        CHECK(move({p}, {GroupId{999}}).result().error().code == ENOENT);
    }
    SECTION("processes that are gone, each of them") {
        const auto outcome = move({p, {50, 1}, {51, 1}, {10, 2}}, {a});
        CHECK(outcome.refusals.size() == 3);
        CHECK(outcome.result().error().code == ESRCH);
        CHECK(outcome.result().error().message() ==
              "cannot attach process 50: No such process; 2 more refused");
        CHECK(nothing_changed());
    }
    SECTION("a sweep leaves out who is gone") {
        const auto outcome = move({p, {50, 1}}, {a}, Vanished::skip);
        CHECK(outcome.result());
        CHECK(outcome.moved.size() == 1);
    }
}

TEST_CASE_METHOD(Fixture, "a successor settles an intent it finds") {
    CHECK(move({p, q}, {a, b}).result());
    const auto intent = log.last;
    trail.clear();
    SECTION("undone, as often as it is asked for") {
        for (int time = 0; time < 2; ++time) {
            CHECK(settle(forest, parts, people, intent).empty());
            CHECK(people.where[p] == home);
            CHECK(people.where[q] == home);
            CHECK(machine_is_home());
        }
    }
    SECTION("who is gone is left out; a group that is gone counts as the root") {
        CHECK(move({p, q}, {forest.hierarchy(h1)->root}).result());
        people.where.erase(q);
        CHECK(forest.remove_group(a));
        CHECK(settle(forest, parts, people, log.last).empty());
        CHECK(people.where[p][h1.value] == home[h1.value]);
        CHECK(people.where[p][h2.value] == b);
        CHECK_FALSE(people.where.contains(q));
    }
    SECTION("hierarchies that the move did not concern stay as they are now") {
        const GroupId later = *make_path(forest, HierarchyId{0}, "/later");
        people.where[p][0] = later;
        CHECK(settle(forest, parts, people, intent).empty());
        CHECK(people.where[p][0] == later);
        CHECK(people.where[p][h1.value] == home[h1.value]);
        CHECK(trail.find("!0") == std::string::npos);
    }
    SECTION("failures are all told, and stop nothing") {
        one.fail_in = {1, 2};
        CHECK(settle(forest, parts, people, intent).size() == 2);
        CHECK(two.machine[{h1.value, 11}] == home[h1.value]);
    }
}
