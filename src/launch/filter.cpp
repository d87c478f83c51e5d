#include "launch/filter.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "launch/file_calls.h"
#include "launch/trap_table.h"

namespace gpcsup::launch {
namespace {

constexpr std::uint32_t x32_bit = 0x40000000;
constexpr std::uint32_t no_number = 0xffffffff;  // what a tracer puts there to skip a call: not an x32 call

struct ExecutionCall {
    int native;
    int compat;
};
constexpr ExecutionCall execution_calls[] = {{59, 11}, {322, 358}};  // execve, execveat

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
    // `action` for a call of this number whose arguments are so; everybody else comes out with the number in
    // the accumulator.
    void call_if(int number, const Conditions& when, std::uint32_t action) {
        if (number == no_call) {
            return;
        }
        std::uint8_t conditions = 0;
        for (const When& each : when) {
            conditions = static_cast<std::uint8_t>(conditions + (each.argument < 0 ? 0 : 1));
        }
        if (conditions == 0) {
            answer_if(static_cast<std::uint32_t>(number), action);
            return;
        }
        add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0,
            static_cast<std::uint8_t>(3 * conditions + 2));
        for (const When& each : when) {
            if (each.argument >= 0) {
                --conditions;
                load(argument_offset(each.argument));
                add(BPF_ALU | BPF_AND | BPF_K, each.mask);
                add(BPF_JMP | BPF_JEQ | BPF_K, each.value, 0, static_cast<std::uint8_t>(3 * conditions + 1));
            }
        }
        answer(action);
        load(offsetof(seccomp_data, nr));
    }
    // A call that is younger than our table may make files.
    void refuse_unknown_calls() {
        add(BPF_JMP | BPF_JGT | BPF_K, static_cast<std::uint32_t>(last_known_call), 0, 2);
        add(BPF_JMP | BPF_JEQ | BPF_K, no_number, 1, 0);
        answer(refuse(ENOSYS));
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
void add_calls(Program& program, std::uint32_t classes, Execution execution, Number number) {
    for (const ExecutionCall& call : execution_calls) {
        if (execution == Execution::trapped) {
            program.call_if(number(call), {}, SECCOMP_RET_USER_NOTIF);
        }
    }
    for (const TrappedCall& call : trapped_calls()) {
        if ((classes & class_mask(call.trap_class)) != 0) {
            program.call_if(number(call), call.when, SECCOMP_RET_USER_NOTIF);
        }
    }
    for (const RefusedCall& call : refused_calls()) {
        if ((classes & call.classes) != 0) {
            program.call_if(number(call), call.when, refuse(call.error));
        }
    }
    if ((classes & class_mask(wire::TrapClass::file)) != 0) {
        program.refuse_unknown_calls();
    }
    program.answer(SECCOMP_RET_ALLOW);
}

Filter assemble(std::uint32_t classes, Execution execution) {
    Program native;
    native.load(offsetof(seccomp_data, nr));
    native.add(BPF_JMP | BPF_JGE | BPF_K, x32_bit, 0, 2);
    native.add(BPF_JMP | BPF_JEQ | BPF_K, no_number, 1, 0);
    native.answer(refuse(ENOSYS));
    add_calls(native, classes, execution, [](const auto& call) { return call.native; });

    Program compat;
    compat.load(offsetof(seccomp_data, nr));
    add_calls(compat, classes, execution, [](const auto& call) { return call.compat; });

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

base::Result<Filter> build_filter(std::span<const wire::TrapClass> classes, Execution execution) {
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
    return assemble(mask, execution);
}

base::Result<std::shared_ptr<const Filter>> FilterCache::get(std::span<const wire::TrapClass> classes,
                                                             Execution execution) {
    const std::pair key{mask_of(classes), execution};
    if (const auto known = filters_.find(key); known != filters_.end()) {
        return known->second;
    }
    auto built = build_filter(classes, execution);
    if (!built) {
        return base::pass(built);
    }
    return filters_.emplace(key, std::make_shared<const Filter>(std::move(*built))).first->second;
}

}  // namespace gpcsup::launch
