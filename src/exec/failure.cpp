#include "exec/failure.h"

#include <cerrno>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gpcsup::exec {
namespace {

wire::StartSlot* slot = nullptr;

}  // namespace

int open_slot(int descriptor, unsigned index) {
    struct stat status {};
    if (fstat(descriptor, &status) != 0) {
        return errno;
    }
    if (index >= wire::start_slot_count ||
        static_cast<unsigned long>(status.st_size) < sizeof(wire::StartSlots)) {
        return EINVAL;
    }
    void* memory = mmap(nullptr, sizeof(wire::StartSlots), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) {
        return errno;
    }
    auto* slots = static_cast<wire::StartSlots*>(memory);
    if (slots->version != wire::start_slots_version) {
        return EPROTO;
    }
    slot = &slots->slots[index];
    return 0;
}

void fail(wire::ExecStep step, int error) {
    if (slot != nullptr) {
        slot->error.store(error, std::memory_order_relaxed);
        slot->step.store(static_cast<unsigned>(step), std::memory_order_release);
    }
    _exit(wire::exec_failed_status);
}

}  // namespace gpcsup::exec
