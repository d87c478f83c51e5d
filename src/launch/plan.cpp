#include "launch/plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <type_traits>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace gpcsup::launch {
namespace {

// Appends arrays and strings behind the header and hands out their spans.
class Blob {
  public:
    Blob() : bytes_(sizeof(wire::LaunchPlan)) {}

    template <class T>
    wire::PlanSpan array(std::span<const T> elements) {
        static_assert(std::is_trivially_copyable_v<T>);
        bytes_.resize((bytes_.size() + 7) / 8 * 8);
        const wire::PlanSpan span{static_cast<std::uint32_t>(bytes_.size()),
                                  static_cast<std::uint32_t>(elements.size())};
        append(elements.data(), elements.size_bytes());
        return span;
    }
    template <class T>
    wire::PlanSpan optional_array(const std::vector<T>& elements) {
        return elements.empty() ? wire::PlanSpan{} : array(std::span<const T>(elements));
    }
    wire::PlanSpan strings(std::span<const std::string> texts) {
        const wire::PlanSpan span{static_cast<std::uint32_t>(bytes_.size()),
                                  static_cast<std::uint32_t>(texts.size())};
        for (const std::string& text : texts) {
            append(text.c_str(), text.size() + 1);
        }
        return span;
    }
    wire::PlanSpan optional_text(const std::string& text) {
        return text.empty() ? wire::PlanSpan{} : strings(std::span(&text, 1));
    }
    std::vector<std::byte> finish(wire::LaunchPlan header) {
        header.size = static_cast<std::uint32_t>(bytes_.size());
        std::memcpy(bytes_.data(), &header, sizeof(header));
        return std::move(bytes_);
    }

  private:
    void append(const void* data, std::size_t size) {
        const auto* from = static_cast<const std::byte*>(data);
        bytes_.insert(bytes_.end(), from, from + size);
    }
    std::vector<std::byte> bytes_;
};

bool has_nul(const std::string& text) {
    return text.find('\0') != std::string::npos;
}

base::Result<> check(const LaunchRequest& request) {
    if (request.executable.empty() || request.executable.front() != '/') {
        return base::fail(EINVAL, "start", request.executable, "the path of a program must be absolute");
    }
    if (request.arguments.empty()) {
        return base::fail(EINVAL, "start", request.executable, "there is no argument list");
    }
    const bool nul = has_nul(request.executable) || has_nul(request.directory) || has_nul(request.user) ||
                     has_nul(request.group) || std::ranges::any_of(request.arguments, has_nul) ||
                     std::ranges::any_of(request.environment, has_nul);
    if (nul) {
        return base::fail(EINVAL, "start", request.executable, "a string has a NUL byte in it");
    }
    if (request.filter && request.handover < 0) {
        return base::fail(EINVAL, "start", request.executable, "a filter needs gpc-init's handover socket");
    }
    return {};
}

std::uint32_t flags_of(const LaunchRequest& request) {
    std::uint32_t flags = 0;
    if (request.terminal == Terminal::controlling) {
        flags |= wire::plan_terminal;
    }
    if (request.privileges == Privileges::no_new) {
        flags |= wire::plan_no_new_privileges;
    }
    if (request.session == Session::keep) {
        flags |= wire::plan_keep_session;
    }
    return flags;
}

// Which number a descriptor of ours has in the child.
class Numbers {
  public:
    Numbers(const LaunchRequest& request, const LaunchTicket& ticket)
        : first_(ticket.first_number), inherited_(inherited(request, ticket)) {}

    [[nodiscard]] int operator()(int descriptor) const {
        if (first_ < 0 || descriptor < 0) {
            return descriptor;
        }
        return first_ + static_cast<int>(std::ranges::find(inherited_, descriptor) - inherited_.begin());
    }

  private:
    int first_;
    std::vector<int> inherited_;
};

}  // namespace

std::vector<int> inherited(const LaunchRequest& request, const LaunchTicket& ticket) {
    std::vector<int> all = request.passed;
    for (const int descriptor :
         {request.standard_input, request.standard_output, request.standard_error,
          request.filter ? request.handover : -1, ticket.slots_descriptor, ticket.status_descriptor}) {
        if (descriptor >= 0) {
            all.push_back(descriptor);
        }
    }
    std::ranges::sort(all);
    all.erase(std::ranges::unique(all).begin(), all.end());
    return all;
}

base::Result<std::vector<std::byte>> serialise(const LaunchRequest& request, const LaunchTicket& ticket) {
    if (auto checked = check(request); !checked) {
        return base::pass(checked);
    }
    Blob blob;
    wire::LaunchPlan plan;
    plan.flags = flags_of(request);
    plan.slot = ticket.slot;
    const Numbers number(request, ticket);
    plan.slots_fd = number(ticket.slots_descriptor);
    plan.status_fd = number(ticket.status_descriptor);
    plan.handover_fd = request.filter ? number(request.handover) : -1;
    plan.stdin_fd = number(request.standard_input);
    plan.stdout_fd = number(request.standard_output);
    plan.stderr_fd = number(request.standard_error);
    plan.init_pid = request.init_pid;
    plan.uid = request.uid;
    plan.gid = request.gid;
    plan.umask = request.umask;
    plan.nice = request.nice;
    plan.memory_mode = request.memory_mode;
    plan.listener_key = request.listener_key;
    plan.user_name = blob.optional_text(request.user);
    plan.group_name = blob.optional_text(request.group);
    plan.names_helper = blob.optional_text(request.names_helper);
    plan.executable = blob.optional_text(request.executable);
    plan.arguments = blob.strings(request.arguments);
    plan.environment = blob.strings(request.environment);
    plan.directory = blob.optional_text(request.directory);
    if (request.supplementary) {  // an empty list is a wish too: no groups at all
        plan.supplementary = blob.array(std::span<const std::uint32_t>(*request.supplementary));
    }
    plan.limits = blob.optional_array(request.limits);
    plan.affinity = blob.optional_array(request.affinity);
    plan.memory_nodes = blob.optional_array(request.memory_nodes);
    std::vector<std::int32_t> passed(request.passed.size());
    std::ranges::transform(request.passed, passed.begin(), number);
    plan.passed_fds = blob.optional_array(passed);
    if (request.filter) {
        plan.filter = blob.optional_array(*request.filter);
    }
    return blob.finish(plan);
}

base::Result<base::Fd> seal(std::span<const std::byte> blob) {
    base::Fd memfd(memfd_create("gpcsup-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!memfd) {
        return base::fail(errno, "create", "the memory of a launch plan");
    }
    const ssize_t written = write(memfd.get(), blob.data(), blob.size());
    if (written != static_cast<ssize_t>(blob.size())) {
        return base::fail(written < 0 ? errno : ENOSPC, "write", "a launch plan");
    }
    if (fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        return base::fail(errno, "seal", "a launch plan");
    }
    return memfd;
}

}  // namespace gpcsup::launch
