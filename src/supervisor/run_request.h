#pragma once
// The request of `gpcsup run`, as JSON (docs/bus.md), turned into the declaration of a transient unit. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "units/declaration.h"

namespace gpcsup::supervisor {

struct RunRequest {
    units::Declaration declaration;  // simple, without restart; the name may be empty
    enum class Client { attached, detached } client = Client::attached;
    std::uint64_t token = 0;  // 0 = none: a repeated request is another one
};

// EINVAL names the part that is wrong.
base::Result<RunRequest> parse_run_request(std::string_view json);

}  // namespace gpcsup::supervisor
