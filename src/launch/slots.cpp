#include "launch/slots.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <sys/mman.h>

#include "launch/shared_memory.h"

namespace gpcsup::launch {
namespace {

constexpr std::string_view what = "the start slots";

constexpr std::array<std::string_view, static_cast<std::size_t>(wire::ExecStep::count_)> step_names = {
    "none",      "plan",  "streams", "terminal", "limits", "priority", "affinity", "memory",
    "directory", "names", "filter",  "handover", "groups", "user",     "parent",   "execute"};

// USER_HZ is 100 on every machine that gpcsup runs on (sysconf(_SC_CLK_TCK)).
std::uint32_t steps_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto steps =
        static_cast<std::uint64_t>(now.tv_sec) * 100 + static_cast<std::uint64_t>(now.tv_nsec) / 10'000'000;
    return std::max(static_cast<std::uint32_t>(steps), std::uint32_t{1});
}

}  // namespace

std::string_view step_name(wire::ExecStep step) {
    const auto index = static_cast<std::size_t>(step);
    return index < step_names.size() ? step_names[index] : "unknown";
}

base::Result<std::unique_ptr<StartSlots>> StartSlots::create() {
    auto memfd = make_memory("gpcsup-start-slots", sizeof(wire::StartSlots));
    if (!memfd) {
        return base::pass(memfd);
    }
    auto memory = map_memory(*memfd, sizeof(wire::StartSlots), what);
    if (!memory) {
        return base::pass(memory);
    }
    auto* shared = static_cast<wire::StartSlots*>(*memory);  // zero is every field's first value
    shared->version = wire::start_slots_version;
    shared->count = wire::start_slot_count;
    return std::unique_ptr<StartSlots>(new StartSlots(std::move(*memfd), shared));
}

base::Result<std::unique_ptr<StartSlots>> StartSlots::adopt(base::Fd memfd) {
    auto memory = map_memory(memfd, sizeof(wire::StartSlots), what);
    if (!memory) {
        return base::pass(memory);
    }
    auto* shared = static_cast<wire::StartSlots*>(*memory);
    if (shared->version != wire::start_slots_version || shared->count != wire::start_slot_count) {
        munmap(shared, sizeof(wire::StartSlots));
        return base::fail(EPROTO, "adopt", what);
    }
    return std::unique_ptr<StartSlots>(new StartSlots(std::move(memfd), shared));
}

StartSlots::~StartSlots() {
    munmap(shared_, sizeof(wire::StartSlots));
}

base::Result<SlotId> StartSlots::acquire(std::uint64_t intent) {
    for (std::uint32_t tried = 0; tried < wire::start_slot_count; ++tried) {
        const std::uint32_t index = (next_ + tried) % wire::start_slot_count;
        wire::StartSlot& slot = shared_->slots[index];
        if (slot.intent.load(std::memory_order_relaxed) != 0) {
            continue;
        }
        slot.pid = 0;
        slot.taken.store(steps_now(), std::memory_order_relaxed);
        slot.error.store(0, std::memory_order_relaxed);
        slot.step.store(static_cast<std::uint32_t>(wire::ExecStep::none), std::memory_order_relaxed);
        slot.intent.store(intent, std::memory_order_release);
        next_ = index + 1;
        return SlotId(index);
    }
    return base::fail(EBUSY, "find a free slot among", what);
}

void StartSlots::release(SlotId id) {
    shared_->slots[id.value].intent.store(0, std::memory_order_release);
}

std::uint64_t StartSlots::intent(SlotId id) const {
    return shared_->slots[id.value].intent.load(std::memory_order_acquire);
}

pid_t StartSlots::pid(SlotId id) const {
    return __atomic_load_n(&shared_->slots[id.value].pid, __ATOMIC_ACQUIRE);  // the kernel writes it
}

std::optional<StartFailure> StartSlots::failure(SlotId id) const {
    const wire::StartSlot& slot = shared_->slots[id.value];
    const auto step = static_cast<wire::ExecStep>(slot.step.load(std::memory_order_acquire));
    if (step == wire::ExecStep::none) {
        return std::nullopt;
    }
    return StartFailure{step, slot.error.load(std::memory_order_relaxed)};
}

// start_time counts from boot, suspension included, so it is at least as late. One step for rounding.
bool StartSlots::Owned::may_have_started(std::uint64_t start_time) const {
    return taken == 0 || static_cast<std::int32_t>(static_cast<std::uint32_t>(start_time) + 1 - taken) >= 0;
}

std::vector<StartSlots::Owned> StartSlots::scan() const {
    std::vector<Owned> owned;
    for (std::uint32_t index = 0; index < wire::start_slot_count; ++index) {
        if (const std::uint64_t owner = intent(SlotId(index)); owner != 0) {
            owned.push_back({SlotId(index), owner, pid(SlotId(index)),
                             shared_->slots[index].taken.load(std::memory_order_relaxed)});
        }
    }
    return owned;
}

}  // namespace gpcsup::launch
