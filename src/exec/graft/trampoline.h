#pragma once
// The machine code that a borrowed thread runs: it makes the calls of a graft and then restores every
// register that they change, by itself, and goes on where the thread was. Whoever traces it may die at any
// instant: what has not been filled in by then makes a call fail harmlessly (a program of length 0,
// descriptor -1). It uses no stack, since what lies below the thread's is the thread's own. Pure: bytes and
// nothing else.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

namespace gpcsup::exec {

struct Registers {  // those that a system call uses or changes; all others stay as they are
    std::uint64_t rax = 0;
    std::uint64_t rdi = 0;
    std::uint64_t rsi = 0;
    std::uint64_t rdx = 0;
    std::uint64_t r10 = 0;
    std::uint64_t r8 = 0;
    std::uint64_t r9 = 0;
    std::uint64_t rcx = 0;
    std::uint64_t r11 = 0;
    std::uint64_t rip = 0;  // where to go on
};

inline constexpr std::uint64_t no_mapping = ~std::uint64_t{0};  // munmap(2) refuses it

// What the thread is to do. With a filter: map memory for it (unless an earlier attempt has), set it; then
// close a descriptor, and unmap.
struct Errand {
    enum class Filter { none, set } filter = Filter::none;
    std::uint64_t mapping = no_mapping;  // that is there already
    std::uint32_t mapping_size = 0;
    std::uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_…
    std::int32_t close = -1;  // known already; else filled in later
    [[nodiscard]] constexpr bool maps() const { return filter == Filter::set && mapping == no_mapping; }
};

class Trampoline {
  public:
    static constexpr std::size_t most = 240;  // bytes, a multiple of 8: it is written in words

    // The same at any address: everything in it is relative to itself, but for where to go on.
    constexpr Trampoline(const Errand& errand, const Registers& back) {
        if (errand.maps()) {
            map(errand);
        } else {
            put({0x49, 0xb8});  // movabs r8
            put64(errand.mapping);
        }
        if (errand.filter == Errand::Filter::set) {
            set_filter(errand);
        }
        close_descriptor();
        unmap(errand);
        restore(back);
        while (size_ % 8 != 0) {
            put({0});
        }
        put_data(errand, back);
    }

    [[nodiscard]] constexpr const std::uint8_t* bytes() const { return bytes_; }
    [[nodiscard]] constexpr std::size_t size() const { return size_; }
    // Never 0: whoever looks for room later sees where this one ends.
    static constexpr std::uint64_t descriptor_word(std::int32_t number) {
        return std::uint64_t{0xffffffff} << 32 | static_cast<std::uint32_t>(number);
    }
    // Offsets of what is filled in while it runs, each in a word of its own.
    [[nodiscard]] constexpr std::size_t program_length() const { return data_ + 8; }
    [[nodiscard]] constexpr std::size_t program_address() const { return data_ + 16; }
    [[nodiscard]] constexpr std::size_t descriptor() const { return data_ + 24; }

  private:
    template <std::size_t Count>
    constexpr void put(const std::uint8_t (&code)[Count]) {
        for (const std::uint8_t byte : code) {
            bytes_[size_++] = byte;
        }
    }
    constexpr void put_number(std::uint64_t value, unsigned count) {
        for (unsigned at = 0; at < count; ++at) {
            bytes_[size_++] = static_cast<std::uint8_t>(value >> (8 * at));
        }
    }
    constexpr void put32(std::uint32_t value) { put_number(value, 4); }
    constexpr void put64(std::uint64_t value) { put_number(value, 8); }
    constexpr void call(std::uint32_t number) {
        put({0xb8});  // mov eax
        put32(number);
        put({0x0f, 0x05});  // syscall
    }
    // No xor, no test: the flags are the thread's, and are not among what is restored.
    constexpr void map(const Errand& errand) {
        put({0xbf});  // mov edi
        put32(0);
        put({0xbe});  // mov esi
        put32(errand.mapping_size);
        put({0xba});  // mov edx
        put32(PROT_READ);
        put({0x41, 0xba});  // mov r10d
        put32(MAP_PRIVATE | MAP_ANONYMOUS);
        put({0x49, 0xc7, 0xc0});  // mov r8, sign-extended
        put32(0xffffffff);
        put({0x41, 0xb9});  // mov r9d
        put32(0);
        call(SYS_mmap);
        put({0x49, 0x89, 0xc0});  // mov r8, rax: the kernel keeps r8
    }
    constexpr void set_filter(const Errand& errand) {
        put({0xbf});
        put32(SECCOMP_SET_MODE_FILTER);
        put({0xbe});
        put32(errand.flags);
        put({0x48, 0x8d, 0x15});  // lea rdx, [rip + …]
        program_at_ = size_;
        put32(0);
        call(SYS_seccomp);
    }
    constexpr void close_descriptor() {
        put({0x8b, 0x3d});  // mov edi, [rip + …]
        descriptor_at_ = size_;
        put32(0);
        call(SYS_close);
    }
    constexpr void unmap(const Errand& errand) {
        put({0x4c, 0x89, 0xc7});  // mov rdi, r8
        put({0xbe});
        put32(errand.mapping_size);
        call(SYS_munmap);
    }
    constexpr void restore(const Registers& back) {
        put({0x48, 0xbf});
        put64(back.rdi);
        put({0x48, 0xbe});
        put64(back.rsi);
        put({0x48, 0xba});
        put64(back.rdx);
        put({0x49, 0xba});
        put64(back.r10);
        put({0x49, 0xb8});
        put64(back.r8);
        put({0x49, 0xb9});
        put64(back.r9);
        put({0x48, 0xb9});
        put64(back.rcx);
        put({0x49, 0xbb});
        put64(back.r11);
        put({0x48, 0xb8});
        put64(back.rax);
        put({0xff, 0x25});  // jmp [rip + …]
        target_at_ = size_;
        put32(0);
    }
    constexpr void put_data(const Errand& errand, const Registers& back) {
        data_ = size_;
        put64(back.rip);
        put64(0);  // sock_fprog: length, and
        put64(0);  // address
        put64(descriptor_word(errand.close));
        link(target_at_, data_);
        link(descriptor_at_, descriptor());
        if (program_at_ != 0) {
            link(program_at_, program_length());
        }
    }
    constexpr void link(std::size_t at, std::size_t target) {
        const auto distance = static_cast<std::uint32_t>(target - (at + 4));
        for (unsigned byte = 0; byte < 4; ++byte) {
            bytes_[at + byte] = static_cast<std::uint8_t>(distance >> (8 * byte));
        }
    }

    std::uint8_t bytes_[most] = {};
    std::size_t size_ = 0;
    std::size_t data_ = 0;
    std::size_t program_at_ = 0;
    std::size_t descriptor_at_ = 0;
    std::size_t target_at_ = 0;
};

// Where there is room for one: the first `most` zero bytes, behind everything that is not zero by at least
// one line and at a multiple of 16. `size` = there is none.
inline std::size_t find_room(const std::uint8_t* image, std::size_t size) {
    std::size_t used = size;
    while (used > 0 && image[used - 1] == 0) {
        --used;
    }
    const std::size_t from = (used + 16 + 15) / 16 * 16;
    return used == 0 || from + Trampoline::most > size ? size : from;
}

}  // namespace gpcsup::exec
