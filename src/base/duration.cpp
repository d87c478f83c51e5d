#include "base/duration.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <limits>

namespace gpcsup::base {

namespace {

struct Unit {
    std::string_view spelling;  // as parse_duration reads and format_duration writes it
    std::string_view shown;     // as a person reads it
    std::uint64_t nanoseconds;
};

constexpr std::uint64_t second = 1'000'000'000;

constexpr std::array<Unit, 7> units = {{
    {"d", "d", 86'400 * second},
    {"h", "h", 3'600 * second},
    {"m", "min", 60 * second},
    {"s", "s", second},
    {"ms", "ms", 1'000'000},
    {"us", "us", 1'000},
    {"ns", "ns", 1},
}};

const Unit* find_unit(std::string_view spelling) {
    const auto* found = std::ranges::find_if(
        units, [&](const Unit& unit) { return unit.spelling == spelling || unit.shown == spelling; });
    return found == units.end() ? nullptr : found;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

std::unexpected<Error> bad_duration(std::string_view text, std::string_view what) {
    return refuse(EINVAL, quoted(text) + " is not a duration: " + std::string(what),
                  "write a number and a unit (ns, us, ms, s, m, h, d), as in \"90s\" or \"1m30s\"");
}

std::unexpected<Error> too_long(std::string_view text) {
    return refuse(ERANGE, quoted(text) + " is too long: a duration is at most 292 years");
}

// Both operands are at most 2^63, so one comparison before each operation is enough.
Result<std::uint64_t> add_part(std::string_view text, std::uint64_t total, std::uint64_t count,
                               std::uint64_t unit) {
    constexpr std::uint64_t longest = std::numeric_limits<std::int64_t>::max();
    if (count > longest / unit || count * unit > longest - total) {
        return too_long(text);
    }
    return total + count * unit;
}

std::uint64_t magnitude(Duration duration) {
    const auto count = static_cast<std::uint64_t>(duration.count());
    return duration.count() < 0 ? 0 - count : count;
}

// To what a person wants to know it: two parts above a minute, about three digits below.
std::uint64_t rounded(std::uint64_t value) {
    constexpr std::array<std::pair<std::uint64_t, std::uint64_t>, 7> steps = {{
        {86'400 * second, 3'600 * second},
        {3'600 * second, 60 * second},
        {10 * second, second},
        {second, second / 10},
        {1'000'000, 1'000'000},
        {1'000, 1'000},
        {0, 1},
    }};
    for (const auto& [from, step] : steps) {
        if (value >= from) {
            return (value + step / 2) / step * step;
        }
    }
    return value;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    if (text.empty()) {
        return bad_duration(text, "it is empty");
    }
    std::uint64_t total = 0;
    std::size_t position = 0;
    while (position < text.size()) {
        const std::size_t digits = position;
        std::uint64_t count = 0;
        for (; position < text.size() && is_digit(text[position]); ++position) {
            if (count > std::numeric_limits<std::uint64_t>::max() / 20) {
                return too_long(text);
            }
            count = count * 10 + static_cast<std::uint64_t>(text[position] - '0');
        }
        if (position == digits) {
            return bad_duration(text, "expected a whole number at " + quoted(text.substr(position)));
        }
        if (position == text.size()) {
            return refuse(EINVAL, quoted(text) + " has no unit",
                          "if seconds are meant, write " + quoted(std::string(text) + "s"));
        }
        const std::size_t letters = position;
        while (position < text.size() && !is_digit(text[position]) && text[position] != ' ') {
            ++position;
        }
        if (position == letters) {
            return bad_duration(text, "expected a unit at " + quoted(text.substr(position)));
        }
        const Unit* unit = find_unit(text.substr(letters, position - letters));
        if (unit == nullptr) {
            return bad_duration(text, quoted(text.substr(letters, position - letters)) + " is no unit");
        }
        Result<std::uint64_t> sum = add_part(text, total, count, unit->nanoseconds);
        if (!sum) {
            return pass(sum);
        }
        total = *sum;
        if (position + 1 < text.size() && text[position] == ' ') {  // "1m 30s", but no blank at the end
            ++position;
        }
    }
    return Duration(static_cast<std::int64_t>(total));
}

std::string format_duration(Duration duration) {
    std::uint64_t rest = magnitude(duration);
    if (rest == 0) {
        return "0s";
    }
    std::string text = duration.count() < 0 ? "-" : "";
    for (const Unit& unit : units) {
        if (rest >= unit.nanoseconds) {
            text += std::to_string(rest / unit.nanoseconds);
            text += unit.spelling;
            rest %= unit.nanoseconds;
        }
    }
    return text;
}

std::string describe_duration(Duration duration) {
    const std::uint64_t value = rounded(magnitude(duration));
    const std::string sign = duration.count() < 0 ? "-" : "";
    if (value == 0) {
        return "0 s";
    }
    const auto* unit =
        std::ranges::find_if(units, [&](const Unit& candidate) { return value >= candidate.nanoseconds; });
    std::string text = sign + std::to_string(value / unit->nanoseconds);
    const std::uint64_t rest = value % unit->nanoseconds;
    if (unit->nanoseconds == second && rest != 0) {
        text += "." + std::to_string(rest / (second / 10));
    }
    text += " ";
    text += unit->shown;
    if (unit->nanoseconds > second && rest / (unit + 1)->nanoseconds != 0) {
        text += " " + std::to_string(rest / (unit + 1)->nanoseconds) + " ";
        text += (unit + 1)->shown;
    }
    return text;
}

}  // namespace gpcsup::base
