// gpc-init's own life: one at a time, ending in order, replacing helpers, idle when idle.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <set>

#include "instance.h"

namespace gpcsup::tests {

namespace {

using wire::KeepVerb;
using wire::StopHow;

std::uint64_t stop_argument(StopHow how, int status = 0) {
    return static_cast<std::uint64_t>(how) | static_cast<std::uint64_t>(status) << 32;
}

}  // namespace

TEST_CASE("a second gpc-init on the same runtime directory refuses and names the first") {
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    Instance::Outcome second = init.run_second();
    CHECK(WIFEXITED(second.status));
    CHECK(WEXITSTATUS(second.status) == 1);
    CHECK(second.words.find("pid " + std::to_string(init.pid())) != std::string::npos);
    CHECK(read_file(init.runtime() + "/lock") == std::to_string(init.pid()) + "\n");
    // It still refuses after the first has replaced itself.
    part.send(KeepVerb::reexec);
    REQUIRE(init.await_words("back, with"));
    CHECK(WEXITSTATUS(init.run_second().status) == 1);
}

TEST_CASE("SIGTERM reaches gpcsupd; its stop ends everything with the status it names") {
    const uid_t user = GENERATE(from_range(identities()));
    const int number = GENERATE(SIGTERM, SIGINT);
    Instance init({.user = user});
    std::optional<Part> part(init.await_helper("gpcsupd"));
    part->receive_set();
    part->send(KeepVerb::ready);
    pid_t service = 0;
    base::Fd orphans = part->start_service(service);
    kill(init.pid(), number);
    std::optional<Letter> letter = part->await(KeepVerb::signal);
    REQUIRE(letter);
    CHECK(letter->message.argument == static_cast<std::uint64_t>(number));
    // A successor is told, too: the wish is not lost with the one who heard it.
    kill(part->pid(), SIGKILL);
    part.emplace(init.await_helper("gpcsupd"));
    part->receive_set();
    part->send(KeepVerb::ready);
    letter = part->await(KeepVerb::signal);
    REQUIRE(letter);
    CHECK(letter->message.argument == static_cast<std::uint64_t>(number));

    base::Fd control(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (init.runtime() + "/control").copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(control.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    part->send(KeepVerb::stop, stop_argument(StopHow::exit, 7));
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    CHECK(WIFEXITED(*status));
    CHECK(WEXITSTATUS(*status) == 7);
    CHECK(process_state(service) == "");
    CHECK(process_state(part->pid()) == "");
    CHECK(std::filesystem::is_empty(init.runtime()));
}

TEST_CASE("a subreaper does not stop the machine") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::stop, stop_argument(StopHow::poweroff));
    CHECK(init.await_words("refused"));
    CHECK(is_alive(part.pid()));
}

TEST_CASE("a stopped helper is replaced at once") {
    const uid_t user = GENERATE(from_range(identities()));
    Instance init({.user = user});
    std::optional<Part> part(init.await_helper("gpcsupd"));
    part->receive_set();
    part->send(KeepVerb::ready);
    const auto before = std::chrono::steady_clock::now();
    kill(part->pid(), SIGSTOP);
    Part next(init.await_helper("gpcsupd", seconds(2)));
    CHECK(std::chrono::steady_clock::now() - before < seconds(1));
    CHECK(next.generation() == 2);
    CHECK(process_state(part->pid()) == "");
}

TEST_CASE("the signals that a C library keeps to itself do not end it either") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    for (const int number : {32, 33, 34}) {  // glibc keeps the first two, musl all three
        REQUIRE(kill(init.pid(), number) == 0);
    }
    kill(part.pid(), SIGKILL);
    Part next(init.await_helper("gpcsupd"));
    CHECK(next.generation() == 2);
}

TEST_CASE("a helper that fails before it is ready is tried more and more slowly, then given up") {
    const uid_t user = GENERATE(from_range(identities()));
    const auto before = std::chrono::steady_clock::now();
    Instance init({.user = user, .environment = {"GPCSUP_FAKE_DIES=gpcsupd"}});
    std::optional<int> status = init.await_end();
    const auto time = std::chrono::steady_clock::now() - before;
    REQUIRE(status);
    CHECK(WEXITSTATUS(*status) == 70);
    CHECK(time > milliseconds(50 + 100 + 200 + 400));
    CHECK(time < seconds(5));
    CHECK(init.words().find("exited with status 3") != std::string::npos);
    CHECK(init.words().find("giving up") != std::string::npos);
}

TEST_CASE("where nobody reads what it says, it goes on without saying it") {
    Instance init({.nobody_reads = true});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    kill(part.pid(), SIGKILL);  // which it would tell of
    Part next(init.await_helper("gpcsupd"));
    next.receive_set();
    next.send(KeepVerb::stop, stop_argument(StopHow::exit));
    CHECK(init.await_end());
}

TEST_CASE("a helper that has closed its channel is replaced") {
    Instance init;
    std::optional<Part> part(init.await_helper("gpcsupd"));
    part->receive_set();
    part->send(KeepVerb::ready);
    const pid_t older = part->pid();
    part.reset();  // closes the test's copy, which is the only one
    Part next(init.await_helper("gpcsupd"));
    CHECK(await_true([&] { return process_state(older).empty(); }));
}

TEST_CASE("what a helper had sent before it died is kept") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    kill(init.pid(), SIGSTOP);  // so that message and death come together
    base::Fd journal(open("/dev/null", O_RDONLY | O_CLOEXEC));
    part.keep(wire::KeepClass::journal, 0, journal.get());
    kill(part.pid(), SIGKILL);
    kill(init.pid(), SIGCONT);
    Part next(init.await_helper("gpcsupd"));
    CHECK(find(next.receive_set(), wire::KeepClass::journal) != nullptr);
}

TEST_CASE("a helper that was asked for in last words is started") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    kill(init.pid(), SIGSTOP);
    part.send(KeepVerb::helper, static_cast<std::uint64_t>(wire::HelperKind::logd));
    kill(part.pid(), SIGKILL);
    kill(init.pid(), SIGCONT);
    const std::set<std::string> come{init.await_any_helper().name(), init.await_any_helper().name()};
    CHECK(come == std::set<std::string>{"gpcsupd", "gpc-logd"});
}

TEST_CASE("a runtime directory that others may write to, or a link, is refused") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    const std::string runtime = init.runtime();
    kill(init.pid(), SIGKILL);
    REQUIRE(init.await_end());
    SECTION("writable") {
        REQUIRE(chmod(runtime.c_str(), 0777) == 0);
        Instance::Outcome outcome = init.run_second();
        CHECK(WEXITSTATUS(outcome.status) == 1);
        CHECK(outcome.words.find("others may write") != std::string::npos);
    }
    SECTION("a link") {
        std::filesystem::rename(runtime, runtime + ".real");
        REQUIRE(symlink((runtime + ".real").c_str(), runtime.c_str()) == 0);
        Instance::Outcome outcome = init.run_second();
        CHECK(WEXITSTATUS(outcome.status) == 1);
        CHECK(outcome.words.find("runtime directory") != std::string::npos);
    }
}

TEST_CASE("a user's runtime directory") {
    const uid_t user = identities().back();
    if (user == 0) {
        WARN("skipped: root's has a fixed place, which tests leave alone");
        return;
    }
    SECTION("named by XDG_RUNTIME_DIR") {
        Instance init({.user = user, .environment = {"XDG_RUNTIME_DIR=$DIRECTORY"}, .name_runtime = false});
        Part part(init.await_helper("gpcsupd"));
        struct stat about {};
        REQUIRE(stat((init.directory() + "/gpcsup").c_str(), &about) == 0);
        CHECK((about.st_mode & 07777) == 0700);
        CHECK(init.words().find("warning") == std::string::npos);
    }
    SECTION("a checked one of one's own under the temporary directory") {
        Instance init({.user = user, .environment = {"TMPDIR=$DIRECTORY"}, .name_runtime = false});
        const std::string path = init.directory() + "/gpcsup-" + std::to_string(user);
        {
            Part part(init.await_helper("gpcsupd"));
            struct stat about {};
            REQUIRE(lstat(path.c_str(), &about) == 0);
            CHECK((about.st_mode & 07777) == 0700);
            CHECK(about.st_uid == user);
            CHECK(init.words().find("warning: XDG_RUNTIME_DIR is not set; the runtime directory is " +
                                    path) != std::string::npos);
        }
        kill(init.pid(), SIGKILL);
        REQUIRE(init.await_end());
        std::filesystem::rename(path, path + ".real");
        REQUIRE(symlink((path + ".real").c_str(), path.c_str()) == 0);
        CHECK(WEXITSTATUS(init.run_second().status) == 1);
    }
}

TEST_CASE("wrong arguments and questions") {
    Instance init({.arguments = {"--what"}});
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    CHECK(WEXITSTATUS(*status) == 64);
    CHECK(init.words().find("--what") != std::string::npos);
    Instance asked({.arguments = {"--help"}});
    status = asked.await_end();
    REQUIRE(status);
    CHECK(WEXITSTATUS(*status) == 0);
    CHECK(asked.words().find("usage: gpc-init") == 0);
}

TEST_CASE("as PID 1 of a container it ignores unknown arguments and ends with an exit code") {
    if (geteuid() != 0) {
        WARN("skipped: a pid namespace of one's own needs privilege");
        return;
    }
    const StopHow how = GENERATE(StopHow::exit, StopHow::poweroff, StopHow::reboot);
    Instance init({.arguments = {"splash", "--unknown=1"}, .own_namespace = true});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    CHECK(init.words().find("ignoring argument splash") != std::string::npos);
    pid_t service = 0;
    base::Fd orphans = part.start_service(service);
    part.send(KeepVerb::stop, stop_argument(how, how == StopHow::exit ? 9 : 0));
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    if (how == StopHow::reboot) {
        CHECK(((WIFSIGNALED(*status) && WTERMSIG(*status) == SIGHUP) || WEXITSTATUS(*status) == 133));
    } else {
        CHECK(WIFEXITED(*status));
        CHECK(WEXITSTATUS(*status) == (how == StopHow::exit ? 9 : 0));
    }
}

TEST_CASE("a PID 1 without a console and without /dev keeps nothing of its own as standard descriptor") {
    if (geteuid() != 0) {
        WARN("skipped: a pid namespace of one's own needs privilege");
        return;
    }
    Instance init({.own_namespace = true, .bare = true});
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    for (const char* number : {"0", "1", "2"}) {
        std::error_code ignored;
        const auto link =
            std::filesystem::read_symlink("/proc/" + std::to_string(init.pid()) + "/fd/" + number, ignored);
        INFO(number);
        CHECK(link == "/");
    }
}

TEST_CASE("the wish to stop outlives a replacement of gpc-init") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    // It waits for a gpc-logd that is there and not ready, for three seconds.
    part.send(KeepVerb::helper, static_cast<std::uint64_t>(wire::HelperKind::logd));
    Part logs(init.await_helper("gpc-logd"));
    part.send(KeepVerb::stop, stop_argument(StopHow::exit, 9));
    part.send(KeepVerb::reexec);
    REQUIRE(init.await_words("back, with"));
    std::optional<int> status = init.await_end();
    REQUIRE(status);
    CHECK(WEXITSTATUS(*status) == 9);
}

TEST_CASE("idle, only the heartbeat wakes it; a gpcsupd that does not answer is replaced") {
    Instance init;
    Part part(init.await_helper("gpcsupd"));
    part.receive_set();
    part.send(KeepVerb::ready);
    Instance unanswered;
    Part silent(unanswered.await_helper("gpcsupd"));
    silent.receive_set();
    silent.send(KeepVerb::ready);
    part.settle();

    auto switches = [&] {
        return status_number(init.pid(), "voluntary_ctxt_switches") +
               status_number(init.pid(), "nonvoluntary_ctxt_switches");
    };
    const long before = switches();
    CHECK_FALSE(part.await(KeepVerb::exited, seconds(42)));  // answers the pings that come meanwhile
    CHECK(switches() - before >= 2);
    CHECK(switches() - before <= 5);
    Part next(unanswered.await_helper("gpcsupd", seconds(20)));
    CHECK(next.generation() == 2);
    CHECK(unanswered.words().find("does not answer") != std::string::npos);
    CHECK(part.generation() == 1);
}

}  // namespace gpcsup::tests
