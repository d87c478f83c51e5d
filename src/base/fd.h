#pragma once
// A file descriptor that is closed when its owner goes. It opens nothing itself.

#include <unistd.h>

#include <utility>

namespace gpcsup::base {

class Fd {
  public:
    Fd() = default;
    explicit Fd(int number) : number_(number) {}  // takes ownership; a negative number means "none"
    Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset(std::exchange(other.number_, -1));
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const { return number_; }
    [[nodiscard]] explicit operator bool() const { return number_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(number_, -1); }  // the caller owns it from here
    void reset(int number = -1) {
        if (number_ >= 0) {
            ::close(number_);
        }
        number_ = number;
    }

  private:
    int number_ = -1;
};

}  // namespace gpcsup::base
