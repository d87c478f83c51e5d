#pragma once
// One gpc-reader: started, killed, reaped. Internal to the room.

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::launch {

struct ReaderProcess {
    base::Fd socket;
    base::Fd pidfd;
};

enum class Reaped { yes, not_yet };

base::Result<ReaderProcess> start_reader(const std::string& program);
void kill_reader(const base::Fd& pidfd);
Reaped reap_reader(const base::Fd& pidfd);  // waits for nothing

}  // namespace gpcsup::launch
