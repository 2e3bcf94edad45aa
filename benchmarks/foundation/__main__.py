from benchmarks.foundation.cells import main

if __name__ == "__main__":
    main()
