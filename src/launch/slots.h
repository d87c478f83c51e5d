#pragma once
// gpcsupd's side of the start slots (wire/start_slots.h): who owns which, what the kernel wrote, which step
// failed. The memfd is to be kept by gpc-init under KeepClass::start_slots, so that a successor sees what was
// being started. Starts nothing.

#include <memory>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong_id.h"
#include "wire/start_slots.h"

namespace gpcsup::launch {

using SlotId = base::StrongId<struct SlotTag>;  // index into wire::StartSlots

struct StartFailure {
    wire::ExecStep step = wire::ExecStep::none;
    int error = 0;
};

// "execute", "directory": as shown to the user beside the errno.
std::string_view step_name(wire::ExecStep step);

class StartSlots {
  public:
    static base::Result<std::unique_ptr<StartSlots>> create();
    static base::Result<std::unique_ptr<StartSlots>> adopt(base::Fd memfd);  // EPROTO: another version
    ~StartSlots();
    StartSlots(const StartSlots&) = delete;
    StartSlots& operator=(const StartSlots&) = delete;

    [[nodiscard]] int descriptor() const { return memfd_.get(); }

    // A free slot, cleared, now owned by the intent with this journal sequence (not 0). EBUSY: all are in
    // use.
    base::Result<SlotId> acquire(std::uint64_t intent);
    void release(SlotId id);

    [[nodiscard]] std::uint64_t intent(SlotId id) const;
    [[nodiscard]] pid_t pid(SlotId id) const;  // 0 = nothing was started
    [[nodiscard]] std::optional<StartFailure> failure(SlotId id) const;
    [[nodiscard]] wire::StartSlot& slot(SlotId id) { return shared_->slots[id.value]; }

    // After a restart: every slot that belongs to an intent. pid 0 = the intent never became a process.
    struct Owned {
        SlotId id;
        std::uint64_t intent = 0;
        pid_t pid = 0;
        std::uint32_t taken = 0;  // wire::StartSlot
        // Whether a process with that start time (field 22 of /proc/PID/stat) may be of this start.
        [[nodiscard]] bool may_have_started(std::uint64_t start_time) const;
    };
    [[nodiscard]] std::vector<Owned> scan() const;

  private:
    StartSlots(base::Fd memfd, wire::StartSlots* shared) : memfd_(std::move(memfd)), shared_(shared) {}
    base::Fd memfd_;
    wire::StartSlots* shared_;
    std::uint32_t next_ = 0;  // search from here, so that a slot just released rests a while
};

}  // namespace gpcsup::launch
