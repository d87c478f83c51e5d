#include "supervisor/log_pipes.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

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
    // Without a keeper for both ends the service would get SIGPIPE when we or gpc-logd die.
    for (const auto& [keep_class, end] : {std::pair(wire::KeepClass::log_pipe, reader.get()),
                                          std::pair(wire::KeepClass::log_writer, pipe.writer.get())}) {
        if (auto kept = keeper_.keep(keep_class, pipe.number, unit, end); !kept) {
            forget(pipe.number);
            return base::fail(kept.error().code, "have gpc-init keep", "the log pipe of " + unit);
        }
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
    forget(known->second.number);
    pipes_.erase(known);
}

// A keeper that does not hear this is gone, and gpcsupd ends with it.
void LogPipes::forget(std::uint32_t number) {
    (void)keeper_.drop(wire::KeepClass::log_writer, number);
    (void)keeper_.drop(wire::KeepClass::log_pipe, number);
}

}  // namespace gpcsup::supervisor
