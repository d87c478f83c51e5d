#pragma once
// Drop-in files that enable, disable and mask write: NAME.d/50-….toml in a unit directory. Needs no
// supervisor.

#include <string>
#include <vector>

#include "base/result.h"

namespace gpcsup::cli {

enum class DropIn { enable, disable, mask };

// ENOENT (with "did you mean …?") unless one of DIRECTORIES has a file for UNIT.
base::Result<> find_unit_file(const std::string& unit, const std::vector<std::string>& directories);

// Writes it atomically, and removes what contradicts it (enable undoes a mask). The path written.
base::Result<std::string> write_drop_in(const std::string& unit, DropIn kind, const std::string& directory);

}  // namespace gpcsup::cli
