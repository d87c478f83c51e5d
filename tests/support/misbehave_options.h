#pragma once
// What misbehave is told to do: its command line as values.

#include <string>

namespace gpcsup::support {

enum class ForkHow { libc_fork, vfork, clone, clone3, clone_parent, thread };
enum class Fork { none, bomb, rate, churn };
enum class Detach { none, clone_parent, once, twice };
enum class Notify { none, ready, never };

struct Wishes {
    bool clear_env = false;
    bool new_session = false;
    bool close_stdio = false;
    bool ignore_term = false;
    bool ignore_sigchld = false;
    bool crash = false;
    Detach detach = Detach::none;
    Notify notify = Notify::none;
    Fork fork = Fork::none;
    ForkHow fork_how = ForkHow::libc_fork;
    long notify_delay_ms = 0;
    long exit_after_ms = -1;
    long stop_delay_ms = 0;
    long leak_fds = 0;
    long threads = 0;
    long eaters = 0;
    long orphans = 0;
    long children = 0;
    long chatty = 0;
    long fork_rate = 0;
    long most = 500;
    int exit_code = 0;
    std::string pidfile;
    std::string count_file;
    std::string read_counts;
    std::string tell;
    std::string name = "misbehave";
};

// Ends the program with a message when an option is not understood, and after --help.
Wishes parse_wishes(int argc, char** argv);

// Says what failed on which object, with errno, and exits 64.
[[noreturn]] void give_up(const char* what, const char* object);

}  // namespace gpcsup::support
