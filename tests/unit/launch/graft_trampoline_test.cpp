// The code that a borrowed thread runs, run here: every register comes back, whatever its calls have said.

#include "exec/graft/trampoline.h"

#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

using namespace gpcsup::exec;

namespace {

#if defined(__SANITIZE_ADDRESS__)
#define GPCSUP_PLAIN __attribute__((no_sanitize("address", "undefined")))
#else
#define GPCSUP_PLAIN
#endif

class CodePage {
  public:
    CodePage()
        : page_(static_cast<std::uint8_t*>(
              mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
        REQUIRE(page_ != MAP_FAILED);
    }
    ~CodePage() { munmap(page_, 4096); }
    CodePage(const CodePage&) = delete;
    CodePage& operator=(const CodePage&) = delete;
    [[nodiscard]] std::uint8_t* at(std::size_t offset) const { return page_ + offset; }

  private:
    std::uint8_t* page_;
};

const Registers expected = {
    0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444, 0x5555555555555555,
    0x6666666666666666, 0x7777777777777777, 0x8888888888888888, 0x9999999999999999, 0};

struct Outcome {
    std::uint64_t values[9] = {};
    std::uint64_t flags = 0;
    std::uint64_t below_stack = 0;
};

// Jumps to the code with CF and ZF set and a mark below the stack, and writes down what came back. The code
// goes on at `back`, which is filled in with the label.
GPCSUP_PLAIN Outcome run(const std::uint8_t* code, std::uint64_t* back) {
    Outcome outcome;
    std::uint64_t* values = outcome.values;
    asm volatile(
        "leaq 1f(%%rip), %%rax\n movq %%rax, (%[back])\n"
        "movq $0x1234567, -72(%%rsp)\n"
        "cmpq %%rax, %%rax\n stc\n"
        "jmp *%[code]\n"
        "1: movq %%rax, 0(%[values])\n movq %%rdi, 8(%[values])\n movq %%rsi, 16(%[values])\n"
        "movq %%rdx, 24(%[values])\n movq %%r10, 32(%[values])\n movq %%r8, 40(%[values])\n"
        "movq %%r9, 48(%[values])\n movq %%rcx, 56(%[values])\n movq %%r11, 64(%[values])\n"
        "movq -72(%%rsp), %%rax\n movq %%rax, 80(%[values])\n"
        "lahf\n movzbl %%ah, %%eax\n movq %%rax, 72(%[values])\n"
        :
        : [code] "r"(code), [back] "b"(back), [values] "r"(values)
        : "rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "memory", "cc");
    return outcome;
}

std::vector<std::uint64_t> expected_values() {
    return {expected.rax, expected.rdi, expected.rsi, expected.rdx, expected.r10,
            expected.r8,  expected.r9,  expected.rcx, expected.r11};
}

void check(const Errand& errand) {
    const CodePage page;
    const Trampoline code(errand, expected);
    std::memcpy(page.at(64), code.bytes(), code.size());
    auto* back = reinterpret_cast<std::uint64_t*>(page.at(64) + code.program_length() - 8);
    const Outcome outcome = run(page.at(64), back);
    CHECK(std::vector(outcome.values, outcome.values + 9) == expected_values());
    constexpr std::uint64_t zero_and_carry = 0x41;
    CHECK((outcome.flags & zero_and_carry) == zero_and_carry);
    CHECK(outcome.below_stack == 0x1234567);
    std::uint8_t clean[64] = {};
    CHECK(std::memcmp(page.at(0), clean, sizeof(clean)) == 0);
}

}  // namespace

TEST_CASE("a trampoline whose tracer has died sets no filter and gives everything back") {
    Errand errand;
    errand.filter = Errand::Filter::set;
    errand.mapping_size = 4096;
    errand.flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC;
    check(errand);  // nothing was filled in: a program of no length
}

TEST_CASE("a trampoline that only closes a descriptor") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    Errand errand;
    errand.close = ends[0];
    check(errand);
    CHECK(close(ends[0]) == -1);
    close(ends[1]);
}

TEST_CASE("a mapping that was left is unmapped") {
    void* left = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(left != MAP_FAILED);
    Errand errand;
    errand.mapping = reinterpret_cast<std::uint64_t>(left);
    errand.mapping_size = 4096;
    check(errand);
    CHECK(msync(left, 4096, MS_ASYNC) == -1);  // ENOMEM: nothing is there
}

TEST_CASE("every errand fits, in words, and none ends in a zero") {
    for (const auto filter : {Errand::Filter::none, Errand::Filter::set}) {
        for (const std::int32_t descriptor : {-1, 0, 3}) {
            Errand errand;
            errand.filter = filter;
            errand.close = descriptor;
            const Trampoline code(errand, {});
            CHECK(code.size() <= Trampoline::most);
            CHECK(code.size() % 8 == 0);
            CHECK(code.bytes()[code.size() - 1] != 0);  // else the next one would be written into it
        }
    }
}

TEST_CASE("room is behind everything that is there, and another trampoline's end is seen") {
    std::vector<std::uint8_t> image(4096, 0);
    CHECK(find_room(image.data(), image.size()) == image.size());  // no vdso is empty
    std::fill_n(image.begin(), 2001, std::uint8_t{0x90});
    const std::size_t first = find_room(image.data(), image.size());
    CHECK(first >= 2017);
    CHECK(first % 16 == 0);
    const Trampoline code(Errand{}, {});
    std::memcpy(image.data() + first, code.bytes(), code.size());
    const std::size_t second = find_room(image.data(), image.size());
    CHECK(second >= first + code.size());
    std::fill_n(image.begin(), 4096 - Trampoline::most, std::uint8_t{0x90});
    CHECK(find_room(image.data(), image.size()) == image.size());
}
