#pragma once
// What the fake helper and the test behind it say to each other, on the SEQPACKET socket named by
// GPCSUP_FAKE.

#include <sys/types.h>

#include <cstdint>

namespace gpcsup::tests {

inline constexpr char fake_variable[] = "GPCSUP_FAKE";  // path of the test's listening socket
inline constexpr char fake_dies_variable[] =
    "GPCSUP_FAKE_DIES";  // name of a helper that exits with 3 at once

// helper → test, with the keep channel's descriptor attached: from then on the test itself is the helper.
struct FakeHello {
    char name[32];
    pid_t pid;
    std::uint32_t generation;
};

// test → helper: start a service (clone3 with CLONE_PARENT, so a child of gpc-init) that works for the
// attached socket.
struct FakeCommand {
    std::uint32_t reserved;
};

// helper → test
struct FakeService {
    pid_t pid;
};

// test → service: make COUNT orphans, number FIRST and so on.
struct OrphanOrder {
    std::uint32_t first;
    std::uint32_t count;
};

// orphan → test, just before its end
struct OrphanReport {
    std::uint32_t number;
    pid_t pid;
    std::int32_t code;  // CLD_EXITED or CLD_KILLED
    std::int32_t status;
    std::uint64_t used_us;  // CPU time by getrusage
};

}  // namespace gpcsup::tests
