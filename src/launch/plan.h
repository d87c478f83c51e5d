#pragma once
// What a start asks for, and its serialised form for gpc-exec (wire/launch_plan.h). Pure, but for seal(),
// which puts the blob into a memfd. Resolves nothing: the executable is an absolute path, names are looked up
// by gpc-exec.

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "wire/launch_plan.h"

namespace gpcsup::launch {

enum class Terminal { none, controlling };
enum class Privileges { as_they_are, no_new };
enum class Session { own, keep };

struct LaunchRequest {
    std::string executable;                // absolute
    std::vector<std::string> arguments;    // argv, at least one
    std::vector<std::string> environment;  // NAME=VALUE
    std::string directory;                 // empty = as it is

    std::string user;  // a name; or
    std::string group;
    std::uint32_t uid = wire::no_id;  // a number, which wins
    std::uint32_t gid = wire::no_id;
    std::optional<std::vector<std::uint32_t>> supplementary;  // absent = those of the user
    std::string names_helper;                                 // path of gpc-names; empty = local files only

    int nice = 0;
    std::uint32_t umask = wire::no_id;
    std::vector<wire::PlanLimit> limits;
    std::vector<std::uint64_t> affinity;  // words; empty = leave
    std::uint32_t memory_mode = 0;
    std::vector<std::uint64_t> memory_nodes;

    std::shared_ptr<const std::vector<sock_filter>> filter;  // from FilterCache; null = no filter
    std::uint64_t listener_key = 0;                          // journal sequence of the start intent
    int handover = -1;  // gpc-init's KeepClass::handover; needed with a filter

    int standard_input = -1;  // -1 = /dev/null
    int standard_output = -1;
    int standard_error = -1;
    std::vector<int> passed;  // become 3, 4, …
    Terminal terminal = Terminal::none;
    Privileges privileges = Privileges::as_they_are;
    Session session = Session::own;
    pid_t init_pid = 0;  // what getppid() must say in the service; 0 = not checked
};

// What spawn() adds: numbers that exist only at the moment of the start.
struct LaunchTicket {
    std::uint32_t slot = 0;
    int slots_descriptor = -1;
    int status_descriptor = -1;
    int first_number = -1;  // the child has what inherited() lists from this number on; -1 = as they are here
};

// EINVAL: no absolute path, no argv, a NUL inside a string, a filter without a handover socket.
base::Result<std::vector<std::byte>> serialise(const LaunchRequest& request, const LaunchTicket& ticket);

// A sealed memfd with the blob: nobody can change it any more.
base::Result<base::Fd> seal(std::span<const std::byte> blob);

// The descriptors of the request and ticket that gpc-exec must inherit, each once.
std::vector<int> inherited(const LaunchRequest& request, const LaunchTicket& ticket);

}  // namespace gpcsup::launch
