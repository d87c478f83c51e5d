#pragma once
// How something is to be shown: colours, glyphs, width and the time of now. Rendering is a pure function of a
// JSON document and a Look; only look_of() asks the system.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/duration.h"

namespace gpcsup::cli {

enum class Colour { never, always };
enum class Glyphs { ascii, unicode };

struct Look {
    Colour colour = Colour::never;
    Glyphs glyphs = Glyphs::unicode;
    std::size_t width = 0;    // columns of the terminal; 0 = not a terminal: nothing is cut
    std::int64_t now_ns = 0;  // CLOCK_REALTIME
    std::int64_t monotonic_ns = 0;
};

enum class Tone { plain, good, waiting, bad, faint, strong };

// TEXT in the colour of TONE, or as it is.
std::string paint(const Look& look, Tone tone, std::string_view text);

// What is drawn in front of a unit in STATE, and in which tone.
Tone tone_of_state(std::string_view state);
std::string dot(const Look& look, std::string_view state);

// "12 min", "3 d 4 h"; a time in the local zone, "2026-11-23 22:10:30".
std::string since(const Look& look, std::int64_t realtime_ns);
std::string local_time(std::int64_t realtime_ns);
std::string cpu_time(std::int64_t nanoseconds);

enum class ColourWish { automatic, never };
// For what is written to DESCRIPTOR: colours and width only on a terminal; NO_COLOR and TERM=dumb are
// honoured.
Look look_of(int descriptor, ColourWish wish);

}  // namespace gpcsup::cli
