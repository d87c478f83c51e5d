// What a successor of gpcsupd finds of a move that was cut off.

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "controllers/fake_host.h"
#include "supervisor/groups.h"

using namespace gpcsup;
using namespace gpcsup::supervisor;
using grouping::GroupId;

namespace {

struct Fixture {
    test::FakeHost host{4};
    controllers::ControllerSet set{host.trees(), host};
    journal::Journal journal = journal::Journal::create().value();
    base::Fd memory{fcntl(journal.descriptor(), F_DUPFD_CLOEXEC, 3)};
    base::Fd ends[2];
    std::unique_ptr<KeeperLink> keeper = link();
    Chronicle chronicle{std::move(journal), *keeper};
    Groups groups{host.trees(), set, chronicle};
    grouping::HierarchyId compute = *groups.create_hierarchy("compute", std::vector<std::string>{"cpuset"});
    GroupId a = *groups.create("compute:/a", Groups::Parents::made);
    GroupId b = *groups.create("compute:/b", Groups::Parents::made);
    controllers::TablePopulation people{host.trees(), *host.table_, host.threads_, nullptr};

    std::unique_ptr<KeeperLink> link() {
        int pair[2];
        REQUIRE(pipe2(pair, O_CLOEXEC) == 0);
        ends[1] = base::Fd(pair[1]);
        return std::make_unique<KeeperLink>(base::Fd(pair[0]));
    }
    journal::States recorded() {
        auto adopted = journal::Journal::adopt(base::Fd(fcntl(memory.get(), F_DUPFD_CLOEXEC, 3)));
        REQUIRE(adopted);
        return journal::fold(*adopted).value();
    }
    std::size_t intents() {
        std::size_t count = 0;
        for (const auto& [key, record] : recorded()) {
            count += key.starts_with("placement/") ? 1 : 0;
        }
        return count;
    }
    GroupId place(pid_t pid) { return host.table_->place(*host.table_->find(pid), compute); }
    std::vector<grouping::Relocation> to_b(std::initializer_list<pid_t> pids) {
        std::vector<grouping::Relocation> list;
        for (const pid_t pid : pids) {
            const auto id = host.table_->find(pid)->id();
            grouping::Relocation one{id, *people.places(id), *people.places(id)};
            one.to[compute.value] = b;
            list.push_back(one);
        }
        return list;
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a move that was cut off is taken back, one that was committed stays") {
    const std::vector<controllers::SettingText> first{{"cpuset.cpus", "0"}};
    const std::vector<controllers::SettingText> second{{"cpuset.cpus", "1"}};
    REQUIRE(groups.set(a, first));
    REQUIRE(groups.set(b, second));
    for (const pid_t pid : {10, 11, 12}) {
        host.start(pid);
    }
    const auto ids = [&](std::initializer_list<pid_t> pids) {
        std::vector<base::ProcessId> list;
        for (const pid_t pid : pids) {
            list.push_back(host.table_->find(pid)->id());
        }
        return list;
    };
    REQUIRE(groups.attach(people, {ids({10, 11}), {a}}).result());
    CHECK(intents() == 0);
    const auto moves = to_b({10, 11, 12});  // from two different places
    REQUIRE(groups.intend(moves));
    CHECK(intents() == 1);
    for (const auto& one : moves) {
        people.move(one.process, one.to);
        REQUIRE(host.set_affinity(one.process, *base::parse_cpu_list("1"), {}));
    }
    SECTION("whoever has ended meanwhile is left out") {
        auto& ended = *host.table_->find(11);
        host.table_->mark_dead(ended);
        host.table_->erase(ended);
        groups.settle_placements(recorded(), people);
        CHECK(place(10) == a);
    }
    SECTION("everybody goes back, each to where he was") {
        groups.settle_placements(recorded(), people);
        CHECK(place(10) == a);
        CHECK(place(11) == a);
        CHECK(place(12) == host.trees().hierarchy(compute)->root);
        CHECK(host.mask(10) == "0");
        CHECK(host.mask(12) == "0-3");
        CHECK(intents() == 0);
    }
}

TEST_CASE_METHOD(Fixture, "a move of a thread that was cut off is taken back, with the mask") {
    const std::vector<controllers::SettingText> first{{"cpuset.cpus", "0"}};
    const std::vector<controllers::SettingText> second{{"cpuset.cpus", "1"}};
    REQUIRE(groups.set(a, first));
    REQUIRE(groups.set(b, second));
    const auto process = host.start(10).id();
    const auto thread = host.start_thread(10, 11);
    const auto told = [&](std::string_view event) {
        return chronicle.last_event("thread_start",
                                    [&](std::string_view name, const Json&) { return name == event; });
    };
    REQUIRE(groups.attach(people, {{process}, {a}}).result());
    REQUIRE(groups.attach(people, {{}, {b}, grouping::Vanished::refuse, {thread}}).result());
    CHECK(host.mask(thread) == "1");
    CHECK(intents() == 0);
    const Json event = told("thread-attached");
    REQUIRE(event.is_object());
    CHECK(event["moved"][0]["tid"] == 11);
    CHECK(event["moved"][0]["place"] == Json{{"compute", "/b"}});
    // Its process is moved, and it is taken home: cut off before the commit.
    grouping::Relocation whole{process, *people.places(process), *people.places(process)};
    const GroupId root = host.trees().hierarchy(compute)->root;
    whole.to[compute.value] = root;
    grouping::Relocation part{process, {}, {}, thread};
    part.from[compute.value] = b;
    part.to[compute.value] = root;
    const std::vector<grouping::Relocation> moves{whole, part};
    REQUIRE(groups.intend(moves));
    people.move(process, whole.to);
    people.move(thread, part.to);
    REQUIRE(host.set_affinity(process, *base::parse_cpu_list("0-3"), {}));
    CHECK(host.threads_.empty());
    groups.settle_placements(recorded(), people);
    CHECK(place(10) == a);
    CHECK(host.threads_.members(b) == std::vector<base::ThreadId>{thread});
    CHECK(host.mask(10) == "0");
    CHECK(host.mask(thread) == "1");
    CHECK(intents() == 0);
}

TEST_CASE_METHOD(Fixture,
                 "a large move is told in several events, and one too large for a record is refused") {
    std::vector<grouping::Relocation> many;
    grouping::Relocation one;
    one.from[compute.value] = a;
    one.to[compute.value] = b;
    for (pid_t pid = 1000; pid < 3500; ++pid) {
        one.process = {pid, 7};
        many.push_back(one);
    }
    std::size_t told = 0;
    std::size_t events = 0;
    chronicle.on_event([&](const std::string& line) {
        const Json event = Json::parse(line);
        CHECK(event["event"] == "attached");
        told += event["moved"].size();
        ++events;
    });
    const auto intent = groups.intend(many);
    REQUIRE(intent);
    CHECK(groups.commit(*intent));
    CHECK(told == 2500);
    CHECK(events == 3);
    CHECK(intents() == 0);
    std::vector<grouping::Relocation> too_many;
    for (pid_t pid = 1000; pid < 101'000; ++pid) {
        one.process = {pid, 1'000'000'000};
        too_many.push_back(one);
    }
    CHECK(groups.intend(too_many).error().code == E2BIG);
    CHECK(intents() == 0);
}
