#include "misbehave_options.h"

#include <getopt.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace gpcsup::support {
namespace {

constexpr char help[] =
    "usage: misbehave [OPTION...]     a daemon that pauses until a signal ends it, and misbehaves as told\n"
    "\n"
    "How it starts\n"
    "  --clear-env           runs itself again with an empty environment\n"
    "  --clone-parent        goes on in a child made with CLONE_PARENT; the first process exits 0\n"
    "  --fork                goes on in a child; the first process exits 0\n"
    "  --double-fork         goes on in a grandchild in a session of its own; the first process exits 0\n"
    "  --setsid              starts a session of its own\n"
    "  --close-stdio         closes stdin, stdout and stderr\n"
    "  --ignore-term         ignores SIGTERM, SIGINT and SIGHUP\n"
    "  --ignore-sigchld      ignores SIGCHLD, so that the kernel reaps its children\n"
    "  --write-pidfile PATH  writes its pid there, once it is the daemon\n"
    "  --count-file PATH     counts there (mapped; see counts.h); --read-counts PATH prints such a file and "
    "exits\n"
    "\n"
    "Readiness (to NOTIFY_SOCKET; without one of these it says nothing)\n"
    "  --notify              READY=1 at once\n"
    "  --notify-late D       READY=1 after a delay\n"
    "  --never-notify        only STATUS=\n"
    "\n"
    "What it uses\n"
    "  --leak-fds N          opens N files and keeps them; goes on when refused\n"
    "  --threads N           N threads that pause\n"
    "  --eat-cpu[=N]         N threads that spin (1)\n"
    "  --orphans N           N children of children that have exited: they live until killed\n"
    "  --children N          N children that live until killed\n"
    "  --chatty BYTES        writes so much to stdout, in numbered lines of 64 bytes\n"
    "\n"
    "Forks without end (`--most N`: no more than N alive or made, 500 unless told)\n"
    "  --fork-bomb           every process forks for ever\n"
    "  --fork-rate N         N short children a second\n"
    "  --churn               short children one after the other\n"
    "  --fork-how HOW        fork (libc), vfork, clone, clone3, clone-parent, thread\n"
    "\n"
    "How it ends (a delay has a unit: 50ms, 2s)\n"
    "  --exit-after D        exits by itself; at once with 0ms\n"
    "  --exit-code N         with this status, also on SIGTERM\n"
    "  --crash               ends by SIGSEGV instead\n"
    "  --stop-delay D        takes so long to end after SIGTERM\n"
    "  --tell FILE           appends `NAME started|stopping|stopped MONOTONIC_NS` lines to FILE and to "
    "stdout\n"
    "  --name NAME           for --tell; \"misbehave\" unless told\n";

long parse_number(const char* text) {
    char* end = nullptr;
    errno = 0;
    const long number = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < 0) {
        errno = EINVAL;
        give_up("not a number:", text);
    }
    return number;
}

long parse_delay_ms(const char* text) {
    const std::string_view all = text;
    if (all.ends_with("ms")) {
        return parse_number(std::string(all.substr(0, all.size() - 2)).c_str());
    }
    if (all.ends_with("s")) {
        return 1000 * parse_number(std::string(all.substr(0, all.size() - 1)).c_str());
    }
    errno = EINVAL;
    give_up("a delay needs a unit (50ms, 2s):", text);
}

ForkHow parse_fork_how(const std::string_view text) {
    constexpr struct {
        std::string_view name;
        ForkHow how;
    } known[] = {{"fork", ForkHow::libc_fork},
                 {"vfork", ForkHow::vfork},
                 {"clone", ForkHow::clone},
                 {"clone3", ForkHow::clone3},
                 {"clone-parent", ForkHow::clone_parent},
                 {"thread", ForkHow::thread}};
    for (const auto& row : known) {
        if (row.name == text) {
            return row.how;
        }
    }
    errno = EINVAL;
    give_up("no such way to fork:", text.data());
}

struct Option {  // what a word of the command line does to the wishes
    const char* name;
    int argument;  // no_argument, required_argument or optional_argument
    void (*apply)(Wishes& wishes, const char* text);
};

constexpr Option options[] = {
    {"clear-env", no_argument, [](Wishes& w, const char*) { w.clear_env = true; }},
    {"clone-parent", no_argument, [](Wishes& w, const char*) { w.detach = Detach::clone_parent; }},
    {"fork", no_argument, [](Wishes& w, const char*) { w.detach = Detach::once; }},
    {"double-fork", no_argument, [](Wishes& w, const char*) { w.detach = Detach::twice; }},
    {"setsid", no_argument, [](Wishes& w, const char*) { w.new_session = true; }},
    {"close-stdio", no_argument, [](Wishes& w, const char*) { w.close_stdio = true; }},
    {"ignore-term", no_argument, [](Wishes& w, const char*) { w.ignore_term = true; }},
    {"ignore-sigchld", no_argument, [](Wishes& w, const char*) { w.ignore_sigchld = true; }},
    {"write-pidfile", required_argument, [](Wishes& w, const char* text) { w.pidfile = text; }},
    {"count-file", required_argument, [](Wishes& w, const char* text) { w.count_file = text; }},
    {"read-counts", required_argument, [](Wishes& w, const char* text) { w.read_counts = text; }},
    {"notify", no_argument, [](Wishes& w, const char*) { w.notify = Notify::ready; }},
    {"notify-late", required_argument,
     [](Wishes& w, const char* text) {
         w.notify = Notify::ready;
         w.notify_delay_ms = parse_delay_ms(text);
     }},
    {"never-notify", no_argument, [](Wishes& w, const char*) { w.notify = Notify::never; }},
    {"leak-fds", required_argument, [](Wishes& w, const char* text) { w.leak_fds = parse_number(text); }},
    {"threads", required_argument, [](Wishes& w, const char* text) { w.threads = parse_number(text); }},
    {"eat-cpu", optional_argument,
     [](Wishes& w, const char* text) { w.eaters = text == nullptr ? 1 : parse_number(text); }},
    {"orphans", required_argument, [](Wishes& w, const char* text) { w.orphans = parse_number(text); }},
    {"children", required_argument, [](Wishes& w, const char* text) { w.children = parse_number(text); }},
    {"chatty", required_argument, [](Wishes& w, const char* text) { w.chatty = parse_number(text); }},
    {"most", required_argument, [](Wishes& w, const char* text) { w.most = parse_number(text); }},
    {"fork-bomb", no_argument, [](Wishes& w, const char*) { w.fork = Fork::bomb; }},
    {"fork-rate", required_argument,
     [](Wishes& w, const char* text) {
         w.fork = Fork::rate;
         w.fork_rate = parse_number(text);
     }},
    {"churn", no_argument, [](Wishes& w, const char*) { w.fork = Fork::churn; }},
    {"fork-how", required_argument, [](Wishes& w, const char* text) { w.fork_how = parse_fork_how(text); }},
    {"exit-after", required_argument,
     [](Wishes& w, const char* text) { w.exit_after_ms = parse_delay_ms(text); }},
    {"exit-code", required_argument,
     [](Wishes& w, const char* text) { w.exit_code = static_cast<int>(parse_number(text)); }},
    {"crash", no_argument, [](Wishes& w, const char*) { w.crash = true; }},
    {"stop-delay", required_argument,
     [](Wishes& w, const char* text) { w.stop_delay_ms = parse_delay_ms(text); }},
    {"tell", required_argument, [](Wishes& w, const char* text) { w.tell = text; }},
    {"name", required_argument, [](Wishes& w, const char* text) { w.name = text; }},
    {"help", no_argument,
     [](Wishes&, const char*) {
         std::fputs(help, stdout);
         std::exit(0);
     }},
};

}  // namespace

void give_up(const char* what, const char* object) {
    std::fprintf(stderr, "misbehave: %s %s: %s\n", what, object, std::strerror(errno));
    std::exit(64);
}

Wishes parse_wishes(int argc, char** argv) {
    constexpr std::size_t count = sizeof options / sizeof options[0];
    option table[count + 1] = {};
    for (std::size_t row = 0; row < count; ++row) {
        table[row] = {options[row].name, options[row].argument, nullptr, 0};
    }
    Wishes wishes;
    int row = 0;
    for (int got = 0; (got = getopt_long(argc, argv, "", table, &row)) != -1;) {
        if (got == '?') {
            std::exit(64);
        }
        options[row].apply(wishes, optarg);
    }
    if (optind != argc) {
        errno = EINVAL;
        give_up("not an option:", argv[optind]);
    }
    return wishes;
}

}  // namespace gpcsup::support
