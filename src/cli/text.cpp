#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace gpcsup::cli {

namespace {

struct Character {
    char32_t code = 0;
    std::size_t bytes = 1;
    enum class Kind { good, broken } kind = Kind::good;
};

Character decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return {first, 1};
    }
    const std::size_t length = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    if (length == 0 || first >= 0xf5 || text.size() < length) {
        return {'?', 1, Character::Kind::broken};
    }
    char32_t code = first & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80) {
            return {'?', 1, Character::Kind::broken};
        }
        code = code << 6 | (byte(i) & 0x3fU);
    }
    return {code, length};
}

struct Range {
    char32_t first;
    char32_t last;
};

// What terminals draw two columns wide (East Asian wide and emoji), and what they draw on top of the
// character before.
constexpr std::array wide{Range{0x1100, 0x115f},   Range{0x2e80, 0x303e},  Range{0x3041, 0x33ff},
                          Range{0x3400, 0x4dbf},   Range{0x4e00, 0x9fff},  Range{0xa000, 0xa4cf},
                          Range{0xac00, 0xd7a3},   Range{0xf900, 0xfaff},  Range{0xfe30, 0xfe6f},
                          Range{0xff00, 0xff60},   Range{0xffe0, 0xffe6},  Range{0x1f300, 0x1f64f},
                          Range{0x1f900, 0x1f9ff}, Range{0x20000, 0x3fffd}};
constexpr std::array zero{Range{0x0300, 0x036f}, Range{0x0483, 0x0489}, Range{0x0591, 0x05bd},
                          Range{0x0610, 0x061a}, Range{0x064b, 0x065f}, Range{0x1ab0, 0x1aff},
                          Range{0x1dc0, 0x1dff}, Range{0x200b, 0x200f}, Range{0x20d0, 0x20ff},
                          Range{0xfe00, 0xfe0f}, Range{0xfe20, 0xfe2f}};

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t code) {
    return std::ranges::any_of(ranges, [=](const Range& r) { return code >= r.first && code <= r.last; });
}

std::size_t width_of(char32_t code) {
    if (code < 0x300) {
        return 1;
    }
    return within(zero, code) ? 0 : within(wide, code) ? 2 : 1;
}

// Length of a colour sequence at the beginning of TEXT, or 0: ESC [ … m
std::size_t colour_length(std::string_view text) {
    if (!text.starts_with("\x1b[")) {
        return 0;
    }
    const std::size_t end = text.find_first_not_of("0123456789;", 2);
    return end != std::string_view::npos && text[end] == 'm' ? end + 1 : 0;
}

bool is_control(char32_t code) {
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
           (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

}  // namespace

std::size_t columns(std::string_view text) {
    std::size_t count = 0;
    while (!text.empty()) {
        if (const std::size_t skip = colour_length(text); skip > 0) {
            text.remove_prefix(skip);
            continue;
        }
        const Character next = decode(text);
        count += width_of(next.code);
        text.remove_prefix(next.bytes);
    }
    return count;
}

std::string harmless(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const Character next = decode(text);
        if (next.code == '\t') {
            result += ' ';
        } else if (next.kind == Character::Kind::broken || is_control(next.code)) {
            result += '?';
        } else {
            result += text.substr(0, next.bytes);
        }
        text.remove_prefix(next.bytes);
    }
    return result;
}

std::string harmless_line(std::string_view text) {
    std::string result;
    bool coloured = false;
    while (!text.empty()) {
        const std::size_t colour = colour_length(text);
        const std::size_t plain =
            colour > 0 ? 0 : std::min({text.find('\t'), text.find('\x1b', 1), text.size()});
        if (colour > 0) {
            result += text.substr(0, colour);
            coloured = true;
        } else {
            result += plain == 0 ? std::string("\t") : harmless(text.substr(0, plain));
        }
        text.remove_prefix(std::max<std::size_t>(colour + plain, 1));
    }
    return coloured ? result + "\x1b[0m" : result;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const Character next = decode(text);
        if (next.kind == Character::Kind::broken) {
            return false;
        }
        text.remove_prefix(next.bytes);
    }
    return true;
}

std::string cut(std::string_view text, std::size_t width) {
    if (width == 0 || columns(text) <= width) {
        return std::string(text);
    }
    std::string result;
    std::size_t used = 0;
    while (!text.empty()) {
        const Character next = decode(text);
        if (used + width_of(next.code) > width - 1) {
            break;
        }
        used += width_of(next.code);
        result += text.substr(0, next.bytes);
        text.remove_prefix(next.bytes);
    }
    return result + "…";
}

std::string pad(std::string_view text, std::size_t width, Align align) {
    const std::size_t have = columns(text);
    const std::string space(have < width ? width - have : 0, ' ');
    return align == Align::left ? std::string(text) + space : space + std::string(text);
}

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
    std::vector<std::string> lines;
    std::string line;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.empty() && width > 0 && columns(line) + 1 + columns(word) > width) {
            lines.push_back(std::exchange(line, std::string()));
        }
        line += line.empty() ? std::string(word) : " " + std::string(word);
    }
    if (!line.empty() || lines.empty()) {
        lines.push_back(line);
    }
    return lines;
}

std::vector<std::size_t> Table::widths() const {
    std::vector<std::size_t> widths;
    widths.reserve(columns_.size());
    for (const auto& column : columns_) {
        widths.push_back(cli::columns(column.heading));
    }
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], cli::columns(row[i]));
        }
    }
    return widths;
}

std::vector<std::string> Table::lines(std::size_t width) const {
    const std::vector<std::size_t> sizes = widths();
    const auto compose = [&](const auto& cell) {
        std::string line;
        std::size_t used = 0;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const bool last = i + 1 == columns_.size();
            std::string text = cell(i);
            if (last && width > 0 && used + cli::columns(text) > width &&
                text.find('\x1b') == std::string::npos) {
                text = cut(text, width > used + 1 ? width - used : 1);
            }
            line += pad(text, sizes[i], columns_[i].align);
            line += last ? "" : "  ";
            used += sizes[i] + 2;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        return line;
    };
    std::vector<std::string> result;
    if (std::ranges::any_of(columns_, [](const Column& c) { return !c.heading.empty(); })) {
        result.push_back(compose([&](std::size_t i) { return columns_[i].heading; }));
    }
    for (const auto& row : rows_) {
        result.push_back(compose([&](std::size_t i) { return i < row.size() ? row[i] : std::string(); }));
    }
    return result;
}

}  // namespace gpcsup::cli
