// Threads that stay: one step of a model calls for them some hundred times, and starting them costs as much as
// a small product.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace {

class Team {
  public:
    // Runs `work()` here and in so many threads in all; it takes its part from what is left, until nothing is.
    // One caller at a time.
    template <typename Work>
    void share(int64_t threads, const Work& work) {
        while (size_ + 1 < threads) {
            std::thread([this, number = size_, seen = round_.load()] { wait_for_work(number, seen); }).detach();
            ++size_;
        }
        call_ = [](const void* it) { (*static_cast<const Work*>(it))(); };
        work_ = &work;
        running_.store(size_);
        wanted_.store(threads - 1);
        {
            const std::lock_guard<std::mutex> one(sleeping_);
            round_.fetch_add(1);
        }
        begun_.notify_all();
        work();
        while (running_.load(std::memory_order_acquire) > 0) std::this_thread::yield();
    }

  private:
    static constexpr int SPINS = 2000;  // some microseconds: the next call comes soon within a step

    void wait_for_work(int64_t number, uint64_t seen) {
        for (;; ++seen) {
            for (int spin = 0; spin < SPINS && round_.load(std::memory_order_acquire) == seen; ++spin) relax();
            if (round_.load(std::memory_order_acquire) == seen) {
                std::unique_lock<std::mutex> one(sleeping_);
                begun_.wait(one, [&] { return round_.load() != seen; });
            }
            if (number < wanted_.load()) call_(work_);
            running_.fetch_sub(1, std::memory_order_release);
        }
    }

    static void relax() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    int64_t size_ = 0;
    void (*call_)(const void*) = nullptr;
    const void* work_ = nullptr;
    std::atomic<int64_t> running_{0}, wanted_{0};
    std::atomic<uint64_t> round_{0};
    std::mutex sleeping_;
    std::condition_variable begun_;
};

}  // namespace
