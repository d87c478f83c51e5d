#pragma once
// Waiting for a job, telling what is waited for meanwhile, and what came of it.

#include <string>

#include "base/result.h"
#include "cli/session.h"
#include "control/client.h"

namespace gpcsup::cli {

// The exit code: 0 settled well, 1 not (said why, with the last log lines), 2 not within --timeout.
base::Result<int> follow_job(Session& session, control::Client& client, control::JobId job);

}  // namespace gpcsup::cli
