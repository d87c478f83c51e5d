#pragma once
// The last lines of units' logs, read from their files by the rights of whoever asks.

#include <cstddef>

#include "cli/json.h"

namespace gpcsup::cli {

inline constexpr std::size_t tail_lines = 10;

enum class Whose { all, failing };  // failing: units that failed or are about to be tried again

// Puts "log_tail" into each unit of a Status answer that has none; a log that may not be read is left out.
void add_log_tails(Json& status, Whose whose);

}  // namespace gpcsup::cli
