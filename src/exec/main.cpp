// gpc-exec: everything between clone3 and execve of a service, from a plan. It is static and never returns:
// it becomes the service, or tells its start slot which step failed and why. The only argument is the number
// of the plan's memfd.

#include <cerrno>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

#include "exec/account.h"
#include "exec/failure.h"
#include "exec/filter.h"
#include "exec/identity.h"
#include "exec/plan.h"
#include "exec/scheduling.h"
#include "exec/streams.h"

using gpcsup::wire::ExecStep;

namespace gpcsup::exec {
namespace {

int enter_directory(const Plan& plan) {
    if (plan.header().umask != wire::no_id) {
        umask(plan.header().umask);
    }
    const char* directory = plan.text(plan.header().directory);
    return directory == nullptr || chdir(directory) == 0 ? 0 : errno;
}

void set_filter(const Plan& plan, const Descriptors& own) {
    if (plan.has(wire::plan_no_new_privileges)) {
        must(ExecStep::filter, forbid_new_privileges());
    }
    if (plan.header().filter.count == 0) {
        must(ExecStep::limits, apply_descriptor_limit(plan));
        return;
    }
    Acknowledgement acknowledgement;
    must(ExecStep::handover, own.handover < 0 ? EBADF : prepare_acknowledgement(acknowledgement));
    int listener = -1;
    must(ExecStep::filter, install_filter(plan, listener));
    must(ExecStep::limits, apply_descriptor_limit(plan));
    must(ExecStep::handover, hand_over(plan, own.handover, acknowledgement, listener));
}

[[noreturn]] void launch(int plan_descriptor) {
    Plan plan;
    must(ExecStep::plan, plan.open(plan_descriptor));
    must(ExecStep::plan, open_slot(plan.header().slots_fd, plan.header().slot));
    restore_defaults();

    Descriptors own;
    must(ExecStep::streams, arrange_descriptors(plan, own));
    must(ExecStep::terminal, enter_session(plan));
    must(ExecStep::limits, apply_limits(plan));
    must(ExecStep::priority, apply_priority(plan));
    must(ExecStep::affinity, apply_affinity(plan));
    must(ExecStep::memory, apply_memory_policy(plan));
    must(ExecStep::directory, enter_directory(plan));
    static Account account;
    must(ExecStep::names, find_account(plan, account));
    set_filter(plan, own);
    must(ExecStep::groups, become_groups(account));
    must(ExecStep::user, become_user(account));
    must(ExecStep::parent, bind_to_parent(plan));
    fail(ExecStep::execute, execute(plan, account));
}

}  // namespace
}  // namespace gpcsup::exec

int main(int count, char** arguments) {
    char* end = nullptr;
    const long number = count == 2 ? std::strtol(arguments[1], &end, 10) : -1;
    if (number < 0 || *end != '\0') {
        static constexpr char usage[] =
            "gpc-exec is started by gpcsupd, with the number of a plan's descriptor\n";
        return write(STDERR_FILENO, usage, sizeof(usage) - 1) < 0 ? 1 : 64;
    }
    gpcsup::exec::launch(static_cast<int>(number));
}
