#include "supervisor/log_pipes.h"

#include <fcntl.h>

#include <cerrno>

namespace gpcsup::supervisor {

void LogPipes::adopt() {
    for (auto& [number, kept] : keeper_.take_all(wire::KeepClass::log_writer)) {
        writers_[static_cast<std::uint32_t>(number)] = std::move(kept.descriptor);
    }
}

base::Result<int> LogPipes::writer(std::uint32_t unit_number, const std::string& name) {
    if (auto known = writers_.find(unit_number); known != writers_.end()) {
        return known->second.get();
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return base::fail(errno, "create the log pipe of", name);
    }
    base::Fd reader(ends[0]);
    base::Fd writer(ends[1]);
    if (auto kept = keeper_.keep(wire::KeepClass::log_pipe, unit_number, name, reader.get()); !kept) {
        return base::pass(kept);
    }
    if (auto kept = keeper_.keep(wire::KeepClass::log_writer, unit_number, name, writer.get()); !kept) {
        return base::pass(kept);
    }
    return writers_.emplace(unit_number, std::move(writer)).first->second.get();
}

void LogPipes::remove(std::uint32_t unit_number) {
    if (writers_.erase(unit_number) == 0) {
        return;
    }
    // A keeper that does not hear this is gone, and gpcsupd ends with it.
    (void)keeper_.drop(wire::KeepClass::log_writer, unit_number);
    (void)keeper_.drop(wire::KeepClass::log_pipe, unit_number);
}

}  // namespace gpcsup::supervisor
