#include "launch/bpf.h"

#include <cstring>
#include <stdexcept>

namespace gpcsup::test {
namespace {

bool holds(const sock_filter& instruction, std::uint32_t accumulator) {
    switch (BPF_OP(instruction.code)) {
        case BPF_JEQ:
            return accumulator == instruction.k;
        case BPF_JGT:
            return accumulator > instruction.k;
        case BPF_JGE:
            return accumulator >= instruction.k;
        case BPF_JSET:
            return (accumulator & instruction.k) != 0;
        default:
            throw std::runtime_error("unknown jump");
    }
}

}  // namespace

std::uint32_t run_filter(std::span<const sock_filter> program, const seccomp_data& call) {
    std::uint32_t accumulator = 0;
    for (std::size_t at = 0; at < program.size(); ++at) {
        const sock_filter& instruction = program[at];
        switch (BPF_CLASS(instruction.code)) {
            case BPF_LD:
                if (instruction.code != (BPF_LD | BPF_W | BPF_ABS) || instruction.k % 4 != 0 ||
                    instruction.k + 4 > sizeof(call)) {
                    throw std::runtime_error("a load that seccomp refuses");
                }
                std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + instruction.k, 4);
                break;
            case BPF_ALU:
                if (instruction.code != (BPF_ALU | BPF_AND | BPF_K)) {
                    throw std::runtime_error("unknown arithmetic");
                }
                accumulator &= instruction.k;
                break;
            case BPF_JMP:
                if (BPF_OP(instruction.code) == BPF_JA) {
                    at += instruction.k;
                } else {
                    at += holds(instruction, accumulator) ? instruction.jt : instruction.jf;
                }
                break;
            case BPF_RET:
                return instruction.k;
            default:
                throw std::runtime_error("unknown instruction");
        }
    }
    throw std::runtime_error("the program ends without an answer");
}

}  // namespace gpcsup::test
