#include "launch/policy_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/audit.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>

#include "launch/affinity_calls.h"

namespace gpcsup::launch {
namespace {

constexpr int set_mempolicy_home_node = 450;
constexpr int mode_flags = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | 1 << 13;  // MPOL_F_NUMA_BALANCING

enum class Judgement { go_on, refuse, read_mask, read_list };

struct Asked {  // by what is no memory of the caller's
    Judgement judgement = Judgement::go_on;
    std::uint64_t address = 0;
    std::uint64_t count =
        0;  // of a mask: one more than the bits in it, as the kernel counts; of a list: numbers
};

// The native number of the call, whatever ABI it came by.
int call_of(const seccomp_data& data) {
    if (data.arch == AUDIT_ARCH_X86_64) {
        return data.nr;
    }
    switch (data.nr) {
        case 274:
            return SYS_mbind;
        case 276:
            return SYS_set_mempolicy;
        case 294:
            return SYS_migrate_pages;
        case 317:
            return SYS_move_pages;
        default:
            return data.nr;
    }
}

// MPOL_DEFAULT of a range is the policy of the process, and that is the group's; MPOL_DEFAULT of a process,
// and MPOL_LOCAL, are the node where it just runs, whichever that is. Relative numbers count the kernel's
// nodes.
Asked by_mode(std::uint64_t mode_argument, std::uint64_t mask, std::uint64_t max_node, bool of_range) {
    const int mode = static_cast<int>(mode_argument);
    const int plain = mode & ~mode_flags;
    if (plain == MPOL_DEFAULT) {
        return {of_range ? Judgement::go_on : Judgement::refuse};
    }
    const bool empty = mask == 0 || max_node <= 1;
    if (plain == MPOL_LOCAL || (mode & MPOL_F_RELATIVE_NODES) != 0 || (plain == MPOL_PREFERRED && empty)) {
        return {Judgement::refuse};
    }
    return {empty ? Judgement::go_on : Judgement::read_mask, mask, max_node};
}

Asked look_at(const seccomp_data& data, const base::CpuList& allowed) {
    const auto& args = data.args;
    switch (call_of(data)) {
        case SYS_set_mempolicy:
            return by_mode(args[0], args[1], args[2], false);
        case SYS_mbind:
            return by_mode(args[2], args[3], args[4], true);
        case SYS_migrate_pages:
            return {args[3] == 0 || args[1] <= 1 ? Judgement::go_on : Judgement::read_mask, args[3], args[1]};
        case SYS_move_pages:  // without nodes it only asks
            return {args[3] == 0 || args[1] == 0 ? Judgement::go_on : Judgement::read_list, args[3], args[1]};
        case set_mempolicy_home_node:
            return {args[2] < wire::memory_nodes && allowed.contains(static_cast<unsigned>(args[2]))
                        ? Judgement::go_on
                        : Judgement::refuse};
        default:
            return {};
    }
}

// How much the kernel reads for it.
std::uint64_t length_of(const Asked& asked, std::uint32_t arch) {
    if (asked.judgement == Judgement::read_list) {
        return asked.count > wire::reader_max_length ? asked.count : asked.count * sizeof(std::int32_t);
    }
    const std::uint64_t word = arch == AUDIT_ARCH_X86_64 ? 64 : 32;
    return (asked.count - 2) / word * (word / 8) + word / 8;
}

base::CpuList nodes_of_list(const std::vector<std::uint8_t>& bytes) {
    std::vector<std::uint64_t> words(wire::memory_node_words);
    for (std::size_t at = 0; at + sizeof(std::int32_t) <= bytes.size(); at += sizeof(std::int32_t)) {
        std::int32_t node = 0;
        std::memcpy(&node, &bytes[at], sizeof(node));
        if (node >= 0 && node < static_cast<std::int32_t>(wire::memory_nodes)) {
            words[static_cast<std::size_t>(node) / 64] |= std::uint64_t{1} << (node % 64);
        }
    }
    return base::CpuList::from_words(std::move(words));
}

// What the kernel takes from a mask: one bit less than it is told.
base::CpuList nodes_of_mask(const std::vector<std::uint8_t>& bytes, std::uint64_t max_node) {
    std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
    std::memcpy(words.data(), bytes.data(), bytes.size());
    const std::uint64_t bits = max_node - 1;
    if (bits % 64 != 0 && bits / 64 < words.size()) {
        words[bits / 64] &= (std::uint64_t{1} << (bits % 64)) - 1;
    }
    return base::CpuList::from_words(std::move(words));
}

}  // namespace

void PolicyCalls::answer(const ParkedCall& call, int error) {
    client_.answer(
        call, error == 0 ? Verdict{Verdict::Kind::proceed, 0, 0} : Verdict{Verdict::Kind::error, 0, error});
}

void PolicyCalls::take(const ParkedCall& call) {
    const seccomp_data& data = call.notification.data;
    const auto caller = static_cast<pid_t>(call.notification.pid);
    const bool of_another = call_of(data) == SYS_migrate_pages || call_of(data) == SYS_move_pages;
    const auto target = translate_thread(caller, of_another ? static_cast<pid_t>(data.args[0]) : 0);
    if (!target) {
        return answer(call, target.error().code);
    }
    auto nodes = rules_.nodes(caller, *target);
    if (!nodes) {
        return answer(call, nodes.error().code);
    }
    const Asked asked = look_at(data, nodes->allowed);
    if (nodes->machine.is_subset_of(nodes->allowed) || asked.judgement == Judgement::go_on) {
        return answer(call, 0);
    }
    if (asked.judgement == Judgement::refuse) {
        return answer(call, EINVAL);
    }
    const std::uint64_t length = length_of(asked, data.arch);
    if (length > wire::reader_max_length) {
        return answer(call, asked.judgement == Judgement::read_list ? E2BIG : EINVAL);
    }
    wire::ReadRequest request;
    request.tid = caller;
    request.call = data.nr;
    std::copy_n(data.args, 3, request.arguments);
    request.address = asked.address;
    request.length = static_cast<std::uint32_t>(length);
    pool_.read(request,
               [this, call, nodes = *nodes, asked](const base::Result<std::vector<std::uint8_t>>& bytes) {
                   if (bytes) {
                       decide(call, nodes,
                              asked.judgement == Judgement::read_list ? nodes_of_list(*bytes)
                                                                      : nodes_of_mask(*bytes, asked.count));
                   } else if (bytes.error().code == EFAULT || bytes.error().code == ESTALE) {
                       answer(call, bytes.error().code == EFAULT ? EFAULT : EINTR);
                   } else {
                       answer(call, 0);
                   }
               });
}

// Nodes that are not there are the kernel's to find.
void PolicyCalls::decide(const ParkedCall& call, const PolicyRules::Nodes& nodes,
                         const base::CpuList& asked) {
    answer(call, asked.intersect(nodes.machine).is_subset_of(nodes.allowed) ? 0 : EINVAL);
}

}  // namespace gpcsup::launch
