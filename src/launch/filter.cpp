#include "launch/filter.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "launch/trap_table.h"

namespace gpcsup::launch {
namespace {

constexpr std::uint32_t x32_bit = 0x40000000;
constexpr std::uint32_t no_number = 0xffffffff;  // what a tracer puts there to skip a call: not an x32 call

constexpr std::uint32_t refuse(int error) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

std::uint32_t mask_of(std::span<const wire::TrapClass> classes) {
    std::uint32_t mask = 0;
    for (const wire::TrapClass trap_class : classes) {
        mask |= class_mask(trap_class);
    }
    return mask & ~class_mask(wire::TrapClass::none);
}

// The lower half of an argument: all that the kernel itself looks at for an unsigned int.
constexpr std::uint32_t argument_offset(int index) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + 8U * static_cast<std::uint32_t>(index);
}

class Program {
  public:
    void load(std::uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
    void answer(std::uint32_t action) { add(BPF_RET | BPF_K, action); }
    void answer_if(std::uint32_t value, std::uint32_t action) {
        add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
        answer(action);
    }
    void call_if(int number, std::uint32_t action) {
        if (number != no_call) {
            answer_if(static_cast<std::uint32_t>(number), action);
        }
    }
    void call_with_argument(int number, const RefusedCall& call) {
        if (number == no_call) {
            return;
        }
        // The accumulator is loaded anew by a call that does not match: the number is needed again.
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 5);
        load(argument_offset(call.argument));
        add(BPF_ALU | BPF_AND | BPF_K, call.mask);
        add(BPF_JMP | BPF_JEQ | BPF_K, call.value, 0, 1);
        answer(refuse(call.error));
        answer(SECCOMP_RET_ALLOW);
    }
    void add(std::uint32_t code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
        instructions_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, value});
    }
    void append(const Program& other) {
        instructions_.insert(instructions_.end(), other.instructions_.begin(), other.instructions_.end());
    }
    [[nodiscard]] std::size_t size() const { return instructions_.size(); }
    [[nodiscard]] Filter take() { return std::move(instructions_); }

  private:
    Filter instructions_;
};

// The calls of one ABI. `number` picks the ABI's number of a row.
template <class Number>
void add_calls(Program& program, std::uint32_t classes, Number number) {
    for (const TrappedCall& call : trapped_calls()) {
        if ((classes & class_mask(call.trap_class)) != 0) {
            program.call_if(number(call), SECCOMP_RET_USER_NOTIF);
        }
    }
    for (const RefusedCall& call : refused_calls()) {
        if ((classes & call.classes) == 0) {
            continue;
        }
        if (call.argument < 0) {
            program.call_if(number(call), refuse(call.error));
        } else {
            program.call_with_argument(number(call), call);
        }
    }
    program.answer(SECCOMP_RET_ALLOW);
}

Filter assemble(std::uint32_t classes) {
    Program native;
    native.load(offsetof(seccomp_data, nr));
    native.add(BPF_JMP | BPF_JGE | BPF_K, x32_bit, 0, 2);
    native.add(BPF_JMP | BPF_JEQ | BPF_K, no_number, 1, 0);
    native.answer(refuse(ENOSYS));
    add_calls(native, classes, [](const auto& call) { return call.native; });

    Program compat;
    compat.load(offsetof(seccomp_data, nr));
    add_calls(compat, classes, [](const auto& call) { return call.compat; });

    Program whole;
    whole.load(offsetof(seccomp_data, arch));
    whole.add(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 3, 0);
    whole.add(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_I386, 1, 0);
    whole.answer(refuse(ENOSYS));
    // To the other ABI's part: BPF_JA takes 32 bits, so the native part may grow beyond what a conditional
    // jump reaches.
    whole.add(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(native.size()));
    whole.append(native);
    whole.append(compat);
    return whole.take();
}

}  // namespace

base::Result<Filter> build_filter(std::span<const wire::TrapClass> classes) {
    const std::uint32_t mask = mask_of(classes);
    if (mask == 0) {
        return base::refuse(EINVAL, "a filter that traps nothing was asked for");
    }
    for (const wire::TrapClass trap_class : classes) {
        const auto of_class = [&](const TrappedCall& call) { return call.trap_class == trap_class; };
        if (trap_class != wire::TrapClass::none && !std::ranges::any_of(trapped_calls(), of_class)) {
            return base::fail(ENOTSUP, "trap the calls of class", class_name(trap_class));
        }
    }
    return assemble(mask);
}

base::Result<std::shared_ptr<const Filter>> FilterCache::get(std::span<const wire::TrapClass> classes) {
    const std::uint32_t mask = mask_of(classes);
    if (const auto known = filters_.find(mask); known != filters_.end()) {
        return known->second;
    }
    auto built = build_filter(classes);
    if (!built) {
        return base::pass(built);
    }
    return filters_.emplace(mask, std::make_shared<const Filter>(std::move(*built))).first->second;
}

}  // namespace gpcsup::launch
