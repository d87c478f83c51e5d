// The client's end of the bus against a fake supervisor: what it asks, what errors become, and that a
// supervisor that is killed and replaced in the middle is no error.

#include "control/client.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <future>
#include <thread>

#include "control/errors.h"
#include "control/fake_supervisor.h"

using namespace std::chrono_literals;
namespace control = gpcsup::control;
using gpcsup::test::FakeSupervisor;
using gpcsup::test::Manner;

namespace {

// Runs CALL in a thread; its result is taken with a deadline.
template <class Call>
auto within(std::future<Call>& future) {
    REQUIRE(future.wait_for(15s) == std::future_status::ready);
    return future.get();
}

}  // namespace

TEST_CASE("A directory without a socket is no supervisor: exit code 69") {
    control::Client client("/nonexistent");
    const auto opened = client.open();
    REQUIRE_FALSE(opened);
    CHECK(control::exit_status(opened.error()) == 69);
    CHECK(opened.error().message().find("/nonexistent/control") != std::string::npos);
}

TEST_CASE("A socket that nobody listens on is no supervisor") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime(), {.refused = 100ms});
    REQUIRE(client.open());
    fake.vanish();
    const auto answer = client.list();
    REQUIRE_FALSE(answer);
    CHECK(control::exit_status(answer.error()) == 69);
}

TEST_CASE("Calls carry their arguments and bring their answers") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    const auto hello = client.hello();
    REQUIRE(hello);
    CHECK(hello->version == "9.9");
    CHECK(hello->mode == "user");
    CHECK(client.list() == std::string("{\"schema\":1,\"units\":[]}"));
    CHECK(client.kill("web", SIGUSR1, control::Whom::main) == 3U);
    CHECK(fake.seen().signal == SIGUSR1);
    const auto job = client.order(control::JobVerb::start, {"web"});
    REQUIRE(job);
    CHECK(job->value == 7);
    CHECK(fake.seen().first_token != 0);
}

TEST_CASE("Errors of the bus become errors with the exit codes of the interface") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    const auto killed = client.kill("stranger", SIGTERM, control::Whom::all);
    REQUIRE_FALSE(killed);
    CHECK(control::exit_status(killed.error()) == 4);
    CHECK(killed.error().message() == "no unit \"stranger\"; did you mean strange?");
    const auto set = client.set("tenant:/acme", {{"numtasks.limit", "4"}});
    REQUIRE_FALSE(set);
    CHECK(control::exit_status(set.error()) == 5);
    for (const auto& [name, code] : std::initializer_list<std::pair<const char*, int>>{{"Failed", 1},
                                                                                       {"Timeout", 2},
                                                                                       {"Inactive", 3},
                                                                                       {"NotFound", 4},
                                                                                       {"Denied", 5},
                                                                                       {"Usage", 64},
                                                                                       {"Busy", 1}}) {
        CHECK(control::exit_status(
                  control::error_from_bus("org.gpcsup1.Error." + std::string(name), "text")) == code);
    }
    CHECK(control::exit_status(control::error_from_bus("org.example.Strange", "text")) == 1);
}

TEST_CASE("A wait goes on with the same job when the supervisor is replaced") {
    FakeSupervisor fake(Manner::swallows_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    auto waiting = std::async(std::launch::async, [&] { return client.wait(control::JobId(4711), 0us); });
    fake.wait_for_calls(1);
    fake.kill();
    fake.serve(Manner::swallows_calls);
    fake.wait_for_calls(2);
    fake.kill();
    fake.serve(Manner::answers);
    const auto answer = within(waiting);
    REQUIRE(answer);
    CHECK(answer->find("\"settled\":true") != std::string::npos);
    CHECK(fake.seen().last_job == 4711);
    CHECK(fake.seen().calls == 3);
}

TEST_CASE("A job is ordered again with the same token, another job with another") {
    FakeSupervisor fake(Manner::dies_at_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    auto ordering =
        std::async(std::launch::async, [&] { return client.order(control::JobVerb::start, {"web"}); });
    while (fake.seen().first_token == 0) {
        std::this_thread::yield();
    }
    fake.kill();
    fake.serve(Manner::answers);
    const auto job = within(ordering);
    REQUIRE(job);
    const std::uint64_t first = fake.seen().first_token;
    CHECK(fake.seen().last_token == first);
    REQUIRE(client.order(control::JobVerb::start, {"web"}));
    CHECK(fake.seen().last_token != first);
}

TEST_CASE("A signal is not sent twice: a supervisor that goes before it answers is told about") {
    FakeSupervisor fake(Manner::swallows_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    auto killing =
        std::async(std::launch::async, [&] { return client.kill("web", SIGUSR1, control::Whom::all); });
    fake.wait_for_calls(1);
    fake.kill();
    fake.serve(Manner::answers);
    const auto killed = within(killing);
    REQUIRE_FALSE(killed);
    CHECK(killed.error().code == EPIPE);
    CHECK(fake.seen().calls == 1);
}

TEST_CASE(
    "A removal that waits is asked for again when the supervisor is replaced and the group is still there") {
    FakeSupervisor fake(Manner::swallows_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    using control::RemoveHow;
    auto removing = std::async(std::launch::async, [&] {
        return client.remove_group("tenant:/a", RemoveHow::kill | RemoveHow::recursive | RemoveHow::wait,
                                   60s);
    });
    fake.wait_for_calls(1);
    CHECK(std::string(fake.seen().remove_how.data()) == "kill recursive wait");
    const std::uint64_t first = fake.seen().remove_timeout_us;
    CHECK(first > 50'000'000);
    CHECK(first <= 60'000'000);
    fake.kill();
    fake.serve(Manner::answers);
    REQUIRE(within(removing));
    CHECK(fake.seen().calls == 3);  // it looked whether the group is there, and asked again
    CHECK(fake.seen().remove_timeout_us < first);
}

TEST_CASE("Hierarchies are made again with the same words, which is harmless") {
    FakeSupervisor fake(Manner::swallows_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    auto creating = std::async(std::launch::async, [&] {
        return client.create_hierarchy("h", {"cpuset", "numtasks"});
    });
    fake.wait_for_calls(1);
    fake.kill();
    fake.serve(Manner::answers);
    CHECK(within(creating));
    CHECK(fake.seen().calls == 2);
}

TEST_CASE("A supervisor that breaks every connection off is given up in bounded time") {
    FakeSupervisor fake(Manner::drops_connections);
    control::Client client(fake.runtime(), {.silent = 1000ms});
    REQUIRE(client.open());
    auto asking = std::async(std::launch::async, [&] { return client.list(); });
    const auto answer = within(asking);
    REQUIRE_FALSE(answer);
    CHECK(control::exit_status(answer.error()) == 69);
}

TEST_CASE("Run hands the three descriptors over") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const gpcsup::base::Fd reader(ends[0]);
    const gpcsup::base::Fd writer(ends[1]);
    const auto running = client.run({"{\"command\":[\"true\"]}", {ends[1], ends[1], ends[1]}});
    REQUIRE(running);
    CHECK(running->unit == "run-1");
    CHECK(running->job.value == 99);
    CHECK(fake.seen().descriptors == 3);
    CHECK(fake.seen().last_token != 0);
    std::array<char, 64> text{};
    CHECK(::read(ends[0], text.data(), text.size()) == 15);
}

TEST_CASE("A companion's descriptors are tended while an answer is awaited, and it may interrupt") {
    struct Bell : control::Companion {
        int descriptor;
        int rung = 0;
        explicit Bell(int fd) : descriptor(fd) {}
        void watch(std::vector<pollfd>& descriptors) override {
            descriptors.push_back({descriptor, POLLIN, 0});
        }
        control::Attention tend(std::span<const pollfd> descriptors) override {
            REQUIRE(descriptors.size() == 1);
            char byte = 0;
            if (descriptors[0].revents != 0 && ::read(descriptor, &byte, 1) == 1) {
                ++rung;
                return byte == '!' ? control::Attention::interrupt : control::Attention::go_on;
            }
            return control::Attention::go_on;
        }
    };
    FakeSupervisor fake(Manner::swallows_calls);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const gpcsup::base::Fd reader(ends[0]);
    const gpcsup::base::Fd writer(ends[1]);
    Bell bell(ends[0]);
    auto waiting = std::async(std::launch::async, [&] { return client.wait(control::JobId(1), 0us, &bell); });
    fake.wait_for_calls(1);
    REQUIRE(::write(ends[1], ".!", 2) == 2);
    const auto interrupted = within(waiting);
    REQUIRE_FALSE(interrupted);
    CHECK(interrupted.error().code == EINTR);
    CHECK(bell.rung == 2);
    // The connection is as good as before.
    fake.kill();
    fake.serve(Manner::answers);
    CHECK(client.wait(control::JobId(1), 0us));
}

TEST_CASE("A supervisor that ends is waited for") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    const auto not_yet = client.wait_gone(100ms);
    REQUIRE_FALSE(not_yet);
    CHECK(control::exit_status(not_yet.error()) == 2);
    auto waiting = std::async(std::launch::async, [&] { return client.wait_gone(0ns); });
    fake.vanish();
    CHECK(within(waiting));
}

TEST_CASE("A supervisor that ends breaks connections off before their first word, and is waited for") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    auto waiting = std::async(std::launch::async, [&] { return client.wait_gone(0ns); });
    const std::uint64_t before = fake.seen().calls;
    fake.kill();
    fake.serve(Manner::drops_at_once);
    fake.wait_for_calls(before + 10);
    fake.vanish();
    CHECK(within(waiting));
}

TEST_CASE("Signalled events arrive; a replacement is told, because something may have been missed") {
    FakeSupervisor fake(Manner::answers);
    control::Client client(fake.runtime());
    REQUIRE(client.open());
    REQUIRE(client.subscribe());
    const auto first = client.next_event(nullptr);
    REQUIRE((first && first->has_value()));
    CHECK(first->value().find("\"seq\":3") != std::string::npos);
    REQUIRE(client.next_event(nullptr));
    auto next = std::async(std::launch::async, [&] { return client.next_event(nullptr); });
    fake.kill();
    fake.serve(Manner::answers);
    const auto missed = within(next);
    REQUIRE(missed);
    CHECK_FALSE(missed->has_value());
    REQUIRE(client.subscribe());
    CHECK(client.next_event(nullptr)->has_value());
}
