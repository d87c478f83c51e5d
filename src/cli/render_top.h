#pragma once
// `top`: who used how much CPU between two answers of Status. Pure.

#include <chrono>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/look.h"

namespace gpcsup::cli {

struct Usage {
    std::string unit;
    std::string state;
    std::int64_t processes = 0;
    std::int64_t cpu_ns = 0;  // altogether
    double cpu_percent = 0;   // of one CPU, between the two
};

// Units with processes, the busiest first.
std::vector<Usage> usages(const Json& before, const Json& after, std::chrono::nanoseconds between);
// At most ROWS rows (0 = all).
std::string render_top(const std::vector<Usage>& usages, std::size_t rows, const Look& look);
Json top_json(const std::vector<Usage>& usages, std::chrono::nanoseconds between);

}  // namespace gpcsup::cli
