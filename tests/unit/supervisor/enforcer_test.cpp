// Rows of the shared table: taken before a start, and taken back however the start ends.

#include "supervisor/enforcer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

using namespace gpcsup;
using namespace gpcsup::supervisor;

namespace {

constexpr std::uint64_t long_after_ns = 60'000'000'000;

struct NoNews final : CensusNews {
    void forked(const processes::Process*, processes::Process&) override {}
    void executed(processes::Process&) override {}
    void thread_started(processes::Process&, pid_t) override {}
    void thread_ended(processes::Process&, pid_t) override {}
    void swept() override {}
    void identity_changed(processes::Process&) override {}
    void lost() override {}
    void exited(const processes::Process&) override {}
    void emptied(grouping::GroupId) override {}
    void attributed(processes::Process&, processes::Attribution) override {}
    void reaped(const wire::ExitRecord&, const processes::Process*) override {}
    void untracked(pid_t) override {}
    void news_taken() override {}
    std::optional<grouping::MembershipId> started_by_us(pid_t) override { return std::nullopt; }
    std::optional<grouping::MembershipId> unit_places(std::string_view) override { return std::nullopt; }
};

std::array<int, 2> open_channel() {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
    return ends;
}

// One gpcsupd's part of it; gpc-init, which keeps the table, is `init`.
struct Life {
    explicit Life(base::Fd table = {}) {
        if (table) {
            hand_out(table.get());
        }
        REQUIRE(init.send(wire::KeepVerb::delivered));
        REQUIRE(keeper.receive_all());
        REQUIRE(init.send(wire::KeepVerb::kept, 1));  // the answer to the first question, ahead of it
        REQUIRE(enforcer.open());
        memory = table ? std::move(table) : kept();
        void* mapped = mmap(nullptr, sizeof(wire::EnforcementTable), PROT_READ | PROT_WRITE, MAP_SHARED,
                            memory.get(), 0);
        REQUIRE(mapped != MAP_FAILED);
        shared = static_cast<wire::EnforcementTable*>(mapped);
    }
    ~Life() { munmap(shared, sizeof(wire::EnforcementTable)); }
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;

    void hand_out(int descriptor) const {
        wire::KeepMessage message;
        message.key = {wire::KeepClass::enforcement_table, 0, 0};
        iovec data{&message, sizeof message};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        msghdr header{};
        header.msg_iov = &data;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr* part = CMSG_FIRSTHDR(&header);
        *part = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        std::memcpy(CMSG_DATA(part), &descriptor, sizeof descriptor);
        REQUIRE(sendmsg(init.descriptor(), &header, 0) > 0);
    }
    [[nodiscard]] base::Fd kept() {
        auto arrival = init.receive();
        REQUIRE(arrival);
        REQUIRE(*arrival);
        return std::move((*arrival)->descriptor);
    }
    base::Result<> prepare(std::uint64_t key) {
        const std::array classes = {wire::TrapClass::task};
        auto prepared = enforcer.prepare(key, classes, {});
        return prepared ? base::Result<>() : base::pass(prepared);
    }
    wire::Domain* row(std::uint64_t key) const {
        for (wire::Domain& domain : shared->domains) {
            if (domain.key.load() == key) {
                return &domain;
            }
        }
        return nullptr;
    }
    [[nodiscard]] std::size_t rows() const {
        std::size_t count = 0;
        for (const wire::Domain& domain : shared->domains) {
            count += domain.key.load() != 0 ? 1 : 0;
        }
        return count;
    }
    void hear_listener(std::uint64_t key) const {  // as gpc-enforce does
        shared->tells_listened.store(1);
        row(key)->listened.store(1);
    }

    std::array<int, 2> ends = open_channel();
    KeeperLink init{base::Fd(ends[1])};
    KeeperLink keeper{base::Fd(ends[0])};
    std::unique_ptr<EventLoop> loop = std::move(EventLoop::create().value());
    grouping::Forest forest;
    NoNews news;
    Census census{*loop, keeper, forest, news};
    Chronicle chronicle{journal::Journal::create().value(), keeper};
    FileService files{*loop, census, forest, [] {}};
    Enforcer enforcer{*loop, keeper, census, forest, chronicle, files};
    base::Fd memory;
    wire::EnforcementTable* shared = nullptr;
};

}  // namespace

TEST_CASE("a start that fails before it has a listener gives its row back") {
    Life life;
    for (std::uint64_t key = 1; key <= 5000; ++key) {
        REQUIRE(life.prepare(key));
        life.enforcer.drop(key);
    }
    CHECK(life.rows() == 0);
}

TEST_CASE("a row whose process ended without a listener comes back, one with a listener waits for it") {
    Life life;
    for (std::uint64_t key = 1; key <= 3; ++key) {
        REQUIRE(life.prepare(key));
    }
    life.hear_listener(2);
    life.enforcer.ended(1);
    life.enforcer.ended(2);
    const std::uint64_t now = launch::monotonic_ns();
    life.enforcer.tidy(now);
    CHECK(life.rows() == 3);  // it may be on its way
    life.enforcer.tidy(now + long_after_ns);
    CHECK(life.row(1) == nullptr);
    CHECK(life.row(2) != nullptr);  // somebody it started may still be trapped
    CHECK(life.row(3) != nullptr);  // it runs
    life.row(2)->closed.store(1);
    life.enforcer.tidy(now + long_after_ns);
    CHECK(life.row(2) == nullptr);
}

TEST_CASE("nothing is concluded from the silence of a gpc-enforce that does not tell") {
    Life life;
    REQUIRE(life.prepare(1));
    life.enforcer.ended(1);
    life.enforcer.tidy(launch::monotonic_ns() + long_after_ns);
    CHECK(life.row(1) != nullptr);
}

TEST_CASE("a successor keeps the rows that are used, and takes back those of starts that came to nothing") {
    Life first;
    for (std::uint64_t key = 1; key <= 4; ++key) {
        REQUIRE(first.prepare(key));
    }
    first.hear_listener(2);
    first.hear_listener(3);
    first.row(3)->closed.store(1);

    Life second(base::Fd(fcntl(first.memory.get(), F_DUPFD_CLOEXEC, 3)));
    second.enforcer.restore_domain(4, {});
    second.enforcer.retire_unclaimed();
    second.enforcer.tidy(launch::monotonic_ns() + long_after_ns);
    CHECK(second.row(1) == nullptr);  // never had a listener
    CHECK(second.row(2) != nullptr);  // has one, and no unit any more
    CHECK(second.row(3) == nullptr);
    CHECK(second.row(4) != nullptr);  // is about to have one

    SECTION("what was taken back is not made again") {
        second.enforcer.restore_domain(1, {});
        second.enforcer.move_domain(3, {});
        CHECK(second.rows() == 2);
    }
}
