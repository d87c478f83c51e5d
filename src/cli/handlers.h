#pragma once
// The functions behind the verbs, for the table in verbs.cpp.

#include "base/result.h"

namespace gpcsup::cli {

class Session;

base::Result<int> do_status(Session& session);
base::Result<int> do_list(Session& session);
base::Result<int> do_tree(Session& session);
base::Result<int> do_ps(Session& session);
base::Result<int> do_top(Session& session);
base::Result<int> do_is_active(Session& session);
base::Result<int> do_get(Session& session);
base::Result<int> do_beancounters(Session& session);
base::Result<int> do_events(Session& session);
base::Result<int> do_log(Session& session);
base::Result<int> do_why(Session& session);

base::Result<int> do_start(Session& session);
base::Result<int> do_stop(Session& session);
base::Result<int> do_restart(Session& session);
base::Result<int> do_reload(Session& session);
base::Result<int> do_kill(Session& session);
base::Result<int> do_run(Session& session);

base::Result<int> do_freeze(Session& session);
base::Result<int> do_thaw(Session& session);
base::Result<int> do_wait(Session& session);
base::Result<int> do_attach(Session& session);
base::Result<int> do_set(Session& session);
base::Result<int> do_group_create(Session& session);
base::Result<int> do_group_remove(Session& session);
base::Result<int> do_group_rename(Session& session);
base::Result<int> do_group_list(Session& session);
base::Result<int> do_hierarchy_create(Session& session);
base::Result<int> do_hierarchy_remove(Session& session);
base::Result<int> do_hierarchy_rebind(Session& session);
base::Result<int> do_hierarchy_list(Session& session);

base::Result<int> do_poweroff(Session& session);
base::Result<int> do_reboot(Session& session);
base::Result<int> do_halt(Session& session);
base::Result<int> do_exit(Session& session);
base::Result<int> do_reexec(Session& session);

base::Result<int> do_snapshot(Session& session);
base::Result<int> do_apply(Session& session);
base::Result<int> do_check(Session& session);
base::Result<int> do_enable(Session& session);
base::Result<int> do_disable(Session& session);
base::Result<int> do_mask(Session& session);
base::Result<int> do_completion(Session& session);
base::Result<int> do_help(Session& session);

}  // namespace gpcsup::cli
