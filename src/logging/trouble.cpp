#include "logging/trouble.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/fd.h"

namespace gpcsup::logging {

Troubles::Troubles(std::string runtime) : path_(std::move(runtime) + "/" + trouble_file) {}

bool Troubles::has(int code) const {
    return std::ranges::any_of(lines_, [code](const auto& entry) { return entry.second.code == code; });
}

void Troubles::begin(const std::string& unit, const base::Error& error, RealTime now) {
    auto known = lines_.find(unit);
    if (known != lines_.end() && known->second.code == error.code) {
        return;
    }
    if (!has(error.code)) {
        fmt::print(stderr, "gpc-logd: {}; output waits in the pipes and nothing is lost; trying again\n",
                   error.message());
    }
    const auto since = std::chrono::time_point_cast<std::chrono::seconds>(now);
    lines_[unit] = {error.code, fmt::format("{}: {} (since {:%Y-%m-%dT%H:%M:%SZ})\n", unit, error.message(),
                                            fmt::gmtime(std::chrono::system_clock::to_time_t(since)))};
    changed_ = true;
}

void Troubles::end(const std::string& unit) {
    if (lines_.erase(unit) == 0) {
        return;
    }
    changed_ = true;
    if (lines_.empty()) {
        fmt::print(stderr, "gpc-logd: all logs can be written again\n");
    }
}

void Troubles::publish() {
    if (!changed_) {
        return;
    }
    changed_ = false;
    if (lines_.empty()) {
        unlink(path_.c_str());
        return;
    }
    std::string text;
    for (const auto& [unit, trouble] : lines_) {
        text += trouble.line;
    }
    const std::string made = path_ + ".new";
    base::Fd file(open(made.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        rename(made.c_str(), path_.c_str()) < 0) {
        fmt::print(stderr, "gpc-logd: {} cannot be written either\n", path_);
        unlink(made.c_str());
    }
}

}  // namespace gpcsup::logging
