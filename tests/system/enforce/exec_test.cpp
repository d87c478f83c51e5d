// The real gpc-exec, started by the real spawn(): what a service inherits, and every step failing for real.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "system/enforce/stage.h"

using namespace gpcsup;
using namespace gpcsup::test;
using wire::ExecStep;

namespace {

struct Run {
    int status = 0;
    std::string output;
    std::optional<launch::StartFailure> failure;
};

Run run(launch::LaunchRequest request, const std::function<void()>& before = {}) {
    const auto slots = std::move(*launch::StartSlots::create());
    PipeEnds output = make_pipe();
    if (request.standard_output < 0) {
        request.standard_output = output.writer.get();
    }
    const Started started = start_by_agent(request, *slots, before);
    output.writer.reset();
    Run result;
    REQUIRE(readable(started.status.get(), 30s));
    result.output = read_all(output.reader);
    result.status = wait_for_end(started);
    result.failure = slots->failure(started.slot);
    return result;
}

void drop_capability(int capability) {
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

void check_failure(const Run& result, ExecStep step, int error) {
    REQUIRE(result.failure.has_value());
    INFO("step " << launch::step_name(result.failure->step) << ": " << std::strerror(result.failure->error));
    CHECK(result.failure->step == step);
    CHECK(result.failure->error == error);
    CHECK(WIFEXITED(result.status));
    CHECK(WEXITSTATUS(result.status) == wire::exec_failed_status);
    CHECK(result.output.empty());
}

bool is_root() {
    return geteuid() == 0;
}

}  // namespace

TEST_CASE("a program is run with its arguments, environment, directory and umask") {
    auto request = request_for({"/bin/sh", "-c", "echo \"$0 $1 $A\"; pwd; umask", "zero", "one two"});
    request.environment.emplace_back("A=b c");
    request.directory = "/usr";
    request.umask = 027;
    const Run result = run(request);
    CHECK_FALSE(result.failure.has_value());
    CHECK(result.status == 0);
    CHECK(result.output == "zero one two b c\n/usr\n0027\n");
}

TEST_CASE("a service has its own session, no foreign descriptor, nothing blocked or ignored") {
    const Run result =
        run(request_for({"/bin/sh", "-c",
                         "ls -v /proc/self/fd | tr '\\n' ' '; echo; cut -d' ' -f1,6 /proc/$$/stat; "
                         "exec grep -E 'Sig(Blk|Ign)|Shd' /proc/self/status"}),
            [] {
                sigset_t all;
                sigfillset(&all);
                sigprocmask(SIG_SETMASK, &all, nullptr);
                std::signal(SIGPIPE, SIG_IGN);
                std::signal(SIGUSR1, SIG_IGN);
                std::signal(SIGRTMIN, SIG_IGN);  // which some C libraries keep to themselves
                open("/dev/null", O_RDONLY);     // not close-on-exec
            });
    std::istringstream lines(result.output);
    std::string descriptors;
    std::getline(lines, descriptors);
    CHECK(descriptors == "0 1 2 3 ");  // 3 is ls's own directory
    std::string pid;
    std::string session;
    lines >> pid >> session;
    CHECK(pid == session);
    std::string name;
    std::string mask;
    int masks = 0;
    while (lines >> name >> mask) {
        INFO(name);
        // Of the process itself: dash blocks everything for a moment whenever it forks.
        CHECK(mask == "0000000000000000");
        ++masks;
    }
    CHECK(masks == 3);
}

TEST_CASE("passed descriptors become 3, 4 and so on, and LISTEN_PID is the service's own") {
    auto request =
        request_for({"/bin/sh", "-c", "read a <&3; read b <&4; echo \"$a $b $((LISTEN_PID == $$))\""});
    request.environment.emplace_back("LISTEN_FDS=2");
    PipeEnds first = make_pipe();
    PipeEnds second = make_pipe();
    REQUIRE(write(first.writer.get(), "one\n", 4) == 4);
    REQUIRE(write(second.writer.get(), "two\n", 4) == 4);
    request.passed = {second.reader.get(), first.reader.get()};
    CHECK(run(request).output == "two one 1\n");
}

TEST_CASE("whatever the supervisor has open, a service gets what it is passed and nothing else") {
    const auto passed = GENERATE(0U, 1U, 12U);  // 12: more than a lane has room for
    auto request = request_for({"/bin/sh", "-c", "ls -v /proc/self/fd | tr '\\n' ' '"});
    std::vector<PipeEnds> pipes;
    for (unsigned i = 0; i < passed; ++i) {
        pipes.push_back(make_pipe());
        request.passed.push_back(pipes.back().reader.get());
    }
    const Run result = run(request, [] {
        for (int i = 0; i < 500; ++i) {
            REQUIRE(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
        }
    });
    std::string expected;
    for (unsigned number = 0; number <= 3 + passed; ++number) {  // the last is ls's own
        expected += std::to_string(number) + " ";
    }
    CHECK(result.output == expected);
}

TEST_CASE("descriptors that stand in each other's way all arrive") {
    auto request = request_for({"/bin/sh", "-c", "read a; read b <&3; echo \"$a $b\""});
    PipeEnds first = make_pipe();
    PipeEnds second = make_pipe();
    REQUIRE(write(first.writer.get(), "input\n", 6) == 6);
    REQUIRE(write(second.writer.get(), "three\n", 6) == 6);
    const Run result = [&] {
        request.standard_input = 3;  // what the agent makes of it below
        request.passed = {0};
        return run(request, [&] {
            dup2(first.reader.get(), 100);
            dup2(second.reader.get(), 101);
            dup2(101, 0);
            dup2(100, 3);
        });
    }();
    CHECK(result.output == "input three\n");
}

TEST_CASE("limits, nice value, affinity and memory policy are set") {
    auto request =
        request_for({"/bin/sh", "-c",
                     "ulimit -n; ulimit -Hn; nice; grep Cpus_allowed_list /proc/$$/status | cut -f2; "
                     "grep -c bind:0 /proc/$$/numa_maps"});
    request.limits = {{7, 0, 64, 128}};
    request.nice = 5;
    request.affinity = {1};
    request.memory_mode = 2;  // MPOL_BIND
    request.memory_nodes = {1};
    const Run result = run(request);
    INFO(result.output);
    std::istringstream words(result.output);
    std::string soft;
    std::string hard;
    std::string nice;
    std::string cpus;
    int bound = 0;
    words >> soft >> hard >> nice >> cpus >> bound;
    CHECK(soft == "64");
    CHECK(hard == "128");
    CHECK(nice == "5");
    CHECK(cpus == "0");
    CHECK(bound > 0);
}

TEST_CASE("a service dies with gpc-init and does not inherit its scheduling") {
    auto request = request_for({support_program("forker"), "state", "0"});
    const Run result = run(request, [] {
        sched_param parameter{};
        parameter.sched_priority = 1;
        sched_setscheduler(0, SCHED_FIFO, &parameter);
    });
    CHECK(result.output == "pdeathsig 9 policy 0\n");
}

TEST_CASE("a user brings its groups, home and name") {
    if (!is_root()) {
        WARN("skipped: only root may change users");
        return;
    }
    auto request = request_for({"/bin/sh", "-c",
                                "id -u; id -g; id -G; echo $HOME $USER $LOGNAME; grep NoNewPrivs "
                                "/proc/$$/status | cut -f2"});
    request.user = "nobody";
    const Run result = run(request);
    CHECK(result.output == "65534\n65534\n65534\n/nonexistent nobody nobody\n0\n");
    CHECK_FALSE(result.failure.has_value());

    request.group = "daemon";
    request.supplementary = {2, 3};
    request.environment.emplace_back("HOME=/elsewhere");
    CHECK(run(request).output == "65534\n1\n1 2 3\n/elsewhere nobody nobody\n0\n");

    auto state = request_for({support_program("forker"), "state", "0"});
    state.user = "nobody";
    CHECK(run(state).output == "pdeathsig 9 policy 0\n");  // the change of user would have cleared it
}

TEST_CASE("names that are not in the local files are asked of the helper") {
    if (!is_root()) {
        return;
    }
    char directory[] = "/tmp/gpcsup-names-XXXXXX";
    REQUIRE(mkdtemp(directory) != nullptr);
    const std::string helper = std::string(directory) + "/helper";
    std::ofstream(helper)
        << "#!/bin/sh\n[ \"$1\" = elsewhere ] || exit 1\n"
           "printf 'uid 1234\\ngid 2345\\nname elsewhere\\nhome /h\\nshell /s\\nmember 2345\\nmember "
           "77\\ngroup 99\\n'\n";
    REQUIRE(chmod(helper.c_str(), 0755) == 0);
    auto request = request_for({"/bin/sh", "-c", "id -u; id -g; id -G; echo $HOME $USER $SHELL"});
    request.user = "elsewhere";
    request.names_helper = helper;
    CHECK(run(request).output == "1234\n2345\n2345 77\n/h elsewhere /s\n");
    request.user = "nowhere";
    check_failure(run(request), ExecStep::names, ESRCH);
    unlink(helper.c_str());
    rmdir(directory);

    request.names_helper = program("gpc-names");  // the real one: it does not know them either
    check_failure(run(request), ExecStep::names, ESRCH);
    request.user = "nobody";
    request.group = "no-such-group";
    check_failure(run(request), ExecStep::names, ENOENT);
}

TEST_CASE("gpc-names speaks what gpc-exec understands") {
    const Run result = run(request_for({program("gpc-names"), "daemon", "tty"}));
    CHECK(result.status == 0);
    CHECK(result.output.starts_with("uid 1\ngid 1\nname daemon\nhome "));
    CHECK(result.output.find("\nmember 1\n") != std::string::npos);
    CHECK(result.output.ends_with("group 5\n"));
}

TEST_CASE("every step that fails is told with its errno") {
    auto request = request_for({"/bin/true"});
    SECTION("streams") {
        request.standard_input = 900;
        check_failure(run(request), ExecStep::streams, EBADF);
    }
    SECTION("terminal") {
        request.terminal = launch::Terminal::controlling;
        check_failure(run(request), ExecStep::terminal, ENOTTY);
    }
    SECTION("limits") {
        request.limits = {{0, 0, 20, 10}};
        check_failure(run(request), ExecStep::limits, EINVAL);
    }
    SECTION("limits of descriptors, which are set last") {
        request.limits = {{7, 0, 20, 10}};
        check_failure(run(request), ExecStep::limits, EINVAL);
    }
    SECTION("priority") {
        if (is_root()) {
            request.nice = -5;
            check_failure(run(request, [] { drop_capability(CAP_SYS_NICE); }), ExecStep::priority, EACCES);
        }
    }
    SECTION("affinity") {
        request.affinity = {0, 0, 1};
        check_failure(run(request), ExecStep::affinity, EINVAL);
    }
    SECTION("memory") {
        request.memory_mode = 2;
        request.memory_nodes = {1ULL << 60};
        check_failure(run(request), ExecStep::memory, EINVAL);
    }
    SECTION("directory") {
        request.directory = "/no/such/directory";
        check_failure(run(request), ExecStep::directory, ENOENT);
    }
    SECTION("names") {
        request.user = "no-such-user";
        check_failure(run(request), ExecStep::names, ESRCH);
        request.user.clear();
        request.uid = 54321;
        check_failure(run(request), ExecStep::names, EINVAL);  // root's group would stay
    }
    SECTION("groups") {
        if (is_root()) {
            request.user = "nobody";
            check_failure(run(request, [] { drop_capability(CAP_SETGID); }), ExecStep::groups, EPERM);
        }
    }
    SECTION("user") {
        if (is_root()) {
            request.user = "nobody";
            check_failure(run(request, [] { drop_capability(CAP_SETUID); }), ExecStep::user, EPERM);
        }
    }
    SECTION("parent") {
        request.init_pid = 1 + getpid();
        check_failure(run(request), ExecStep::parent, ESRCH);
    }
}

TEST_CASE("what cannot be executed says why") {
    char directory[] = "/tmp/gpcsup-exec-XXXXXX";
    REQUIRE(mkdtemp(directory) != nullptr);
    const std::string file = std::string(directory) + "/file";
    std::ofstream(file) << "echo no interpreter named\n";
    auto request = request_for({file});
    chmod(file.c_str(), 0755);
    check_failure(run(request), ExecStep::execute, ENOEXEC);
    chmod(file.c_str(), 0644);
    check_failure(run(request), ExecStep::execute, EACCES);
    unlink(file.c_str());
    check_failure(run(request), ExecStep::execute, ENOENT);
    rmdir(directory);
}

TEST_CASE("the filter and its handing over fail for real") {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    Fd ours(ends[0]);
    const Fd theirs(ends[1]);
    auto request = request_for({"/bin/true"});
    request.handover = theirs.get();
    request.listener_key = 5;
    SECTION("a program that the kernel refuses") {
        request.filter = std::make_shared<const launch::Filter>(1, sock_filter{0xffff, 0, 0, 0});
        check_failure(run(request), ExecStep::filter, EINVAL);
    }
    const wire::TrapClass task = wire::TrapClass::task;
    launch::FilterCache filters;
    SECTION("nobody at the other end") {
        request.filter = *filters.get({&task, 1});
        ours.reset();
        check_failure(run(request), ExecStep::handover, EPIPE);
    }
    SECTION("nobody acknowledges") {
        request.filter = *filters.get({&task, 1});
        check_failure(run(request), ExecStep::handover, ETIMEDOUT);
    }
}

TEST_CASE("gpc-exec itself missing is told as step plan") {
    const auto slots = std::move(*launch::StartSlots::create());
    const auto request = request_for({"/bin/true"});
    const auto slot = *slots->acquire(1);
    // No agent: the broken child becomes a child of our own parent, which must not care. So fork first.
    const pid_t agent = fork();
    if (agent == 0) {
        const auto spawned = launch::spawn({request, nullptr, *slots, slot, "/no/such/gpc-exec"});
        _exit(spawned && readable(spawned->status.get(), 10s) ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(agent, &status, 0) == agent);
    CHECK(status == 0);
    REQUIRE(slots->failure(slot).has_value());
    CHECK(slots->failure(slot)->step == ExecStep::plan);
    CHECK(slots->failure(slot)->error == ENOENT);
    REQUIRE(waitpid(slots->pid(slot), &status, 0) == slots->pid(slot));
    CHECK(WEXITSTATUS(status) == wire::exec_failed_status);
}
