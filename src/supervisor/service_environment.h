#pragma once
// What a service finds in its environment, and the program it names. Reads the file system (PATH) and our own
// environment.

#include <string>
#include <vector>

#include "base/result.h"
#include "supervisor/surroundings.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

// PATH, LANG and TZ; for an ordinary user's supervisor all that the user had; then what the unit sets, then
// ours: GPCSUP_ID (the marker by which an orphan is recognised), GPCSUP_RUNTIME, RUNTIME_DIRECTORY,
// NOTIFY_SOCKET for those that notify.
[[nodiscard]] std::vector<std::string> service_environment(const units::Declaration& unit,
                                                           const Surroundings& here);

// The absolute path of a program, by the PATH of that environment when it has no slash. ENOENT or EACCES as
// execvp(3) would.
base::Result<std::string> find_executable(const std::string& program,
                                          const std::vector<std::string>& environment,
                                          const std::string& directory);

inline constexpr char unit_variable[] = "GPCSUP_ID";

}  // namespace gpcsup::supervisor
