#include "cli/look.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

namespace gpcsup::cli {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

const char* sequence(Tone tone) {
    switch (tone) {
        case Tone::good:
            return "\x1b[32m";
        case Tone::waiting:
            return "\x1b[33m";
        case Tone::bad:
            return "\x1b[31m";
        case Tone::faint:
            return "\x1b[2m";
        case Tone::strong:
            return "\x1b[1m";
        case Tone::plain:
            break;
    }
    return "";
}

std::int64_t now(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return time.tv_sec * second_ns + time.tv_nsec;
}

// The locale as the environment names it, without loading one (that would cost every start).
bool locale_is_utf8() {
    for (const char* variable : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(variable);
        if (value != nullptr && *value != '\0') {
            return strcasestr(value, "utf-8") != nullptr || strcasestr(value, "utf8") != nullptr;
        }
    }
    return false;
}

}  // namespace

std::string paint(const Look& look, Tone tone, std::string_view text) {
    if (look.colour == Colour::never || tone == Tone::plain || text.empty()) {
        return std::string(text);
    }
    return sequence(tone) + std::string(text) + "\x1b[0m";
}

Tone tone_of_state(std::string_view state) {
    if (state == "active" || state == "done" || state == "running") {
        return Tone::good;
    }
    if (state == "failed" || state == "degraded") {
        return Tone::bad;
    }
    return state == "inactive" ? Tone::faint : Tone::waiting;
}

std::string dot(const Look& look, std::string_view state) {
    const Tone tone = tone_of_state(state);
    const bool unicode = look.glyphs == Glyphs::unicode;
    const char* sign = tone == Tone::bad     ? (unicode ? "✗" : "x")
                       : tone == Tone::faint ? (unicode ? "○" : "o")
                                             : (unicode ? "●" : "*");
    return paint(look, tone, sign);
}

std::string since(const Look& look, std::int64_t realtime_ns) {
    if (realtime_ns <= 0) {
        return {};
    }
    const std::int64_t past = look.now_ns - realtime_ns;
    // Tenths of a second tell a person nothing here, and would make the column jump.
    return base::describe_duration(std::chrono::seconds(past < 0 ? 0 : past / second_ns));
}

std::string local_time(std::int64_t realtime_ns) {
    const auto seconds = static_cast<time_t>(realtime_ns / second_ns);
    tm broken{};
    localtime_r(&seconds, &broken);
    char text[32];
    return {text, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &broken)};
}

std::string cpu_time(std::int64_t nanoseconds) {
    const std::int64_t milliseconds = nanoseconds / 1'000'000;
    if (milliseconds < 1000) {
        return std::to_string(milliseconds) + " ms";
    }
    if (milliseconds < 60'000) {
        const std::int64_t hundredths = milliseconds / 10;
        const std::string rest = std::to_string(hundredths % 100);
        return std::to_string(hundredths / 100) + "." + (rest.size() < 2 ? "0" : "") + rest + " s";
    }
    return base::describe_duration(std::chrono::seconds(milliseconds / 1000));
}

Look look_of(int descriptor, ColourWish wish) {
    Look look;
    look.now_ns = now(CLOCK_REALTIME);
    look.monotonic_ns = now(CLOCK_MONOTONIC);
    look.glyphs = locale_is_utf8() ? Glyphs::unicode : Glyphs::ascii;
    if (::isatty(descriptor) == 0) {
        return look;
    }
    const char* forbidden = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
    if (wish == ColourWish::automatic && !dumb && (forbidden == nullptr || *forbidden == '\0')) {
        look.colour = Colour::always;
    }
    winsize size{};
    look.width = ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    return look;
}

}  // namespace gpcsup::cli
