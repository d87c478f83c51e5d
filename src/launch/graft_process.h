#pragma once
// One gpc-graft (wire/graft.h): started through gpc-exec as a child of gpc-init, like a service, so that it
// outlives whoever started it, and given its request. Waits for nothing.

#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/process_id.h"
#include "base/result.h"
#include "launch/descriptor_lane.h"
#include "launch/filter.h"
#include "launch/slots.h"
#include "wire/graft.h"

namespace gpcsup::launch {

struct GraftStart {
    base::ProcessId process;
    wire::GraftMode mode = wire::GraftMode::fresh;
    std::uint32_t timeout_ms = 0;
    std::uint64_t listener_key = 0;
    std::shared_ptr<const Filter> filter;
    int handover = -1;
    pid_t init_pid = 0;
    std::string graft_program;
    std::string exec_program;
    const DescriptorLane* lane = nullptr;
};

struct GraftProcess {
    pid_t pid = 0;
    base::Fd pidfd;
    base::Fd socket;  // readable: its answer, or its end
};

base::Result<GraftProcess> start_graft(const GraftStart& start, StartSlots& slots, SlotId slot);
// Empty: it ended without one.
std::optional<wire::GraftAnswer> receive_answer(const GraftProcess& process);

}  // namespace gpcsup::launch
