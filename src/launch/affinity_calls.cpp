#include "launch/affinity_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include <sys/syscall.h>
#include <unistd.h>

namespace gpcsup::launch {
namespace {

constexpr std::chrono::milliseconds first_reapplication{1};
constexpr std::chrono::milliseconds second_reapplication{20};

std::size_t kernel_mask_bytes() {
    std::uint8_t mask[wire::reader_max_length] = {};
    const long got = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
    return got > 0 ? static_cast<std::size_t>(got) : sizeof(mask);
}

base::CpuList to_cpus(const std::vector<std::uint8_t>& bytes) {
    std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
    std::memcpy(words.data(), bytes.data(), bytes.size());
    return base::CpuList::from_words(std::move(words));
}

}  // namespace

AffinityCalls::AffinityCalls(EnforcementClient& client, ReaderPool& pool, AffinityRules& rules)
    : client_(client), pool_(pool), rules_(rules), mask_bytes_(kernel_mask_bytes()) {}

void AffinityCalls::fail(const ParkedCall& call, int error) {
    client_.answer(call, {Verdict::Kind::error, 0, error});
}

void AffinityCalls::take(const ParkedCall& call) {
    if (call.trap_class != wire::TrapClass::affinity) {  // nobody here knows that call: the kernel does
        client_.answer(call, {Verdict::Kind::proceed, 0, 0});
        return;
    }
    const seccomp_data& data = call.notification.data;
    const auto caller = static_cast<pid_t>(call.notification.pid);
    const auto target = translate_thread(caller, static_cast<pid_t>(data.args[0]));
    if (!target) {
        fail(call, target.error().code);
        return;
    }
    wire::ReadRequest request;
    request.tid = caller;
    request.call = data.nr;
    std::copy_n(data.args, 3, request.arguments);
    request.address = data.args[2];
    request.length = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(static_cast<std::uint32_t>(data.args[1]), mask_bytes_));
    if (request.length == 0) {
        fail(call, EINVAL);  // an empty mask, as the kernel finds
        return;
    }
    pool_.read(request, [this, call, thread = *target](const base::Result<std::vector<std::uint8_t>>& bytes) {
        decide(call, thread, bytes);
    });
}

void AffinityCalls::decide(const ParkedCall& call, pid_t target,
                           const base::Result<std::vector<std::uint8_t>>& bytes) {
    const auto caller = static_cast<pid_t>(call.notification.pid);
    if (!bytes) {
        // Only what the caller's memory is to blame for is its error. Where we could not look, for want of a
        // reader or of rights, the kernel reads the mask, and the group's is applied again at once: nobody
        // gets out, and a program that is told EFAULT or EAGAIN by this call gives up.
        switch (bytes.error().code) {
            case EFAULT:
                return fail(call, EFAULT);
            case ESTALE:
                return fail(call, EINTR);
            default:
                return let_go(call, target);
        }
    }
    if (const auto may = may_schedule(caller, target); !may) {
        fail(call, may.error().code);
        return;
    }
    const auto allowed = rules_.allowed(caller, target);
    if (!allowed) {
        fail(call, allowed.error().code);
        return;
    }
    const base::CpuList asked = to_cpus(*bytes);
    const base::CpuList effective = asked.intersect(*allowed);
    if (effective.empty()) {
        fail(call, EINVAL);
        return;
    }
    const std::vector<std::uint64_t>& words = effective.words();
    if (syscall(SYS_sched_setaffinity, target, words.size() * sizeof(std::uint64_t), words.data()) != 0) {
        fail(call, errno);
        return;
    }
    rules_.granted(target, asked, effective);
    client_.answer(call, {Verdict::Kind::value, 0, 0});
}

void AffinityCalls::let_go(const ParkedCall& call, pid_t target) {
    client_.answer(call, {Verdict::Kind::proceed, 0, 0});
    const Moment now = std::chrono::steady_clock::now();
    again_.push_back({now + first_reapplication, target});
    again_.push_back({now + second_reapplication, target});
}

std::optional<Moment> AffinityCalls::deadline() const {
    const auto first = std::ranges::min_element(again_, {}, &Again::due);
    return first == again_.end() ? std::nullopt : std::optional(first->due);
}

void AffinityCalls::on_deadline(Moment now) {
    std::vector<pid_t> due;
    std::erase_if(again_, [&](const Again& again) {
        if (again.due > now) {
            return false;
        }
        due.push_back(again.target);
        return true;
    });
    for (const pid_t target : due) {
        rules_.reapply(target);
    }
}

}  // namespace gpcsup::launch
