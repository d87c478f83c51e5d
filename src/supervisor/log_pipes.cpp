#include "supervisor/log_pipes.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

namespace gpcsup::supervisor {

void LogPipes::adopt() {
    for (auto& [number, kept] : keeper_.take_all(wire::KeepClass::log_writer)) {
        last_number_ = std::max(last_number_, static_cast<std::uint32_t>(number));
        pipes_[kept.name] = {static_cast<std::uint32_t>(number), std::move(kept.descriptor)};
    }
}

base::Result<int> LogPipes::writer(const std::string& unit) {
    if (auto known = pipes_.find(unit); known != pipes_.end()) {
        return known->second.writer.get();
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail(errno, "create the log pipe of", unit);
    }
    base::Fd reader(ends[0]);
    Pipe pipe{++last_number_, base::Fd(ends[1])};
    if (auto kept = keeper_.keep(wire::KeepClass::log_pipe, pipe.number, unit, reader.get()); !kept) {
        return base::pass(kept);
    }
    if (auto kept = keeper_.keep(wire::KeepClass::log_writer, pipe.number, unit, pipe.writer.get()); !kept) {
        return base::pass(kept);
    }
    return pipes_.emplace(unit, std::move(pipe)).first->second.writer.get();
}

std::uint64_t LogPipes::waiting(std::string_view unit) const {
    const auto known = pipes_.find(unit);
    int bytes = 0;
    return known != pipes_.end() && ioctl(known->second.writer.get(), FIONREAD, &bytes) == 0
               ? static_cast<std::uint64_t>(bytes)
               : 0;
}

void LogPipes::remove(const std::string& unit) {
    auto known = pipes_.find(unit);
    if (known == pipes_.end()) {
        return;
    }
    // A keeper that does not hear this is gone, and gpcsupd ends with it.
    (void)keeper_.drop(wire::KeepClass::log_writer, known->second.number);
    (void)keeper_.drop(wire::KeepClass::log_pipe, known->second.number);
    pipes_.erase(known);
}

}  // namespace gpcsup::supervisor
