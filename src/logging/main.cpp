// gpc-logd: writes what services print to rotated files, so that no disk ever blocks the supervisor.

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>

#include "logging/service.h"
#include "wire/keep.h"

namespace {

namespace logging = gpcsup::logging;
namespace wire = gpcsup::wire;

// A pipe and a file for each unit.
void raise_descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

logging::RealTime now() {
    return std::chrono::system_clock::now();
}

}  // namespace

int main() {
    const char* logs = getenv(wire::logs_variable);
    const char* runtime = getenv(wire::runtime_variable);
    std::optional<logging::Keeper> keeper = logging::inherit_keeper();
    if (logs == nullptr || runtime == nullptr || !keeper) {
        fmt::print(stderr, "gpc-logd is started by gpc-init and does nothing by itself\n");
        return 64;
    }
    raise_descriptor_limit();
    logging::Pipes pipes(logs, logging::Troubles(runtime), now);
    logging::LogService service(std::move(*keeper), std::move(pipes));
    if (gpcsup::base::Result<> done = service.run(); !done) {
        fmt::print(stderr, "gpc-logd: {}\n", done.error().message());
        return 1;
    }
    return 0;
}
