#pragma once
// The two sockets of the runtime directory: `control` (stream, listening) and `notify` (datagrams of
// sd_notify). gpc-init keeps both, so they are made once and go on queueing while gpcsupd is replaced.

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace gpcsup::supervisor {

// Bound at a temporary name and renamed into place, so that RUNTIME/control never refuses; mode 0666: rights
// are judged from the peer's credentials.
base::Result<base::Fd> listen_for_control(const std::string& runtime);
base::Result<base::Fd> listen_for_notify(const std::string& runtime);

}  // namespace gpcsup::supervisor
