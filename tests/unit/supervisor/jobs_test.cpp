// Waits for jobs: whose they are, and that nobody's are in another's way.

#include "supervisor/jobs.h"

#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using namespace gpcsup::supervisor;

namespace {

struct OneUnit final : UnitStates {
    units::UnitState state;
    const units::UnitState* unit_state(std::string_view) override { return &state; }
    std::optional<ExecFailure> exec_failure(std::string_view) override { return std::nullopt; }
    std::string waiting_for(const units::UnitState&) override { return "it"; }
};

struct Fixture {
    static std::array<int, 2> open_channel() {
        std::array<int, 2> ends{};
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
        return ends;
    }
    std::array<int, 2> ends = open_channel();
    KeeperLink keeper{base::Fd(ends[0])};
    base::Fd init{ends[1]};
    Chronicle chronicle{journal::Journal::create().value(), keeper};
    OneUnit units;
    Jobs jobs{chronicle, units};
    std::uint64_t number = 0;
    std::size_t answered = 0;
    std::size_t refused = 0;

    Fixture() {
        units.state.name = "one";
        units.state.state = units::State::starting;
        number = jobs.open(JobGoal::started, std::array<std::string, 1>{"one"}, 0).number;
    }
    void wait(std::uint64_t connection) {
        jobs.wait({number, 0, connection}, control::Reply([this](const base::Result<std::string>& answer) {
                      answer ? ++answered : ++refused;
                      CHECK((answer || answer.error().code == EBUSY));
                  }));
    }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "a connection's waits do not keep others from waiting") {
    for (std::size_t i = 0; i < 300; ++i) {
        wait(1);
    }
    CHECK(refused == 300 - Jobs::most_waits);
    wait(2);
    CHECK(refused == 300 - Jobs::most_waits);
    units.state.state = units::State::active;
    jobs.review();
    CHECK(answered == Jobs::most_waits + 1);
}

TEST_CASE_METHOD(Fixture, "the waits of a connection that has gone end with it") {
    for (std::uint64_t connection = 1; connection <= 300; ++connection) {
        wait(connection);
        jobs.disconnected(connection);
    }
    CHECK(jobs.next_deadline_ns() == 0);
    CHECK(refused == 0);
    units.state.state = units::State::active;
    jobs.review();
    CHECK(answered == 0);
}
