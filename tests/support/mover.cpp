// mover RUNTIME COUNT GROUP GROUP WHAT...: moves processes or units COUNT times between two groups, over one
// connection, as fast as the supervisor answers. Prints a JSON object of what it took; exit code 1 and the
// first answer that was none when a move failed.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "control/client.h"

using namespace gpcsup;
using Clock = std::chrono::steady_clock;

namespace {

double microseconds(Clock::duration time) {
    return std::chrono::duration<double, std::micro>(time).count();
}

int fail(const std::string& why) {
    std::fprintf(stderr, "mover: %s\n", why.c_str());
    return 1;
}

}  // namespace

int main(int count, char** words) {
    if (count < 6) {
        return fail("usage: mover RUNTIME COUNT GROUP GROUP WHAT...");
    }
    const std::vector<std::string> arguments(words + 1, words + count);
    const long moves = std::strtol(arguments[1].c_str(), nullptr, 10);
    const std::vector<std::string> what(arguments.begin() + 4, arguments.end());
    control::Client client(arguments[0]);
    if (auto opened = client.open(); !opened) {
        return fail(opened.error().message());
    }
    std::vector<double> times;
    const auto begin = Clock::now();
    for (long move = 0; move < moves; ++move) {
        const auto sent = Clock::now();
        const auto answer =
            client.attach(what, {arguments[move % 2 == 0 ? 3 : 2]}, control::AttachScope::process);
        if (!answer) {
            return fail("move " + std::to_string(move) + ": " + answer.error().message());
        }
        times.push_back(microseconds(Clock::now() - sent));
    }
    const double whole = microseconds(Clock::now() - begin);
    std::ranges::sort(times);
    const auto at = [&](double part) {
        return times.empty() ? 0.0
                             : times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))];
    };
    std::printf(
        R"({"moves": %ld, "seconds": %.3f, "mean_us": %.1f, "median_us": %.1f, "p99_us": %.1f, "slowest_us": %.1f})"
        "\n",
        moves, whole / 1e6, whole / static_cast<double>(std::max(moves, 1L)), at(0.5), at(0.99), at(1.0));
    return 0;
}
